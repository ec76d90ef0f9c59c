"""Certificates of the mean latency: what routing and scheduling are both judged by."""

from collections.abc import Callable

from shadowprice.audit.case import Case
from shadowprice.audit.fleet_run import FleetRun
from shadowprice.certificate import Certificate

WORTH_CHANGING = 0.02  # a smaller share of the mean latency is not worth a change of policy


def certificates(
    case: Case,
    served: dict[str, FleetRun],
    bound_s: float,
    took_s: float,
    *,
    words: tuple[str, str, str],
    advise: Callable[[str], str],
) -> tuple[Certificate, ...]:
    """One for each policy that served the case, in their order.

    bound_s: the mean that no policy can beat; took_s: to compute it. words: the decision, the bound's method and the
    model. advise: what to do about the policy of this name.
    """
    decision, method, model = words
    return tuple(
        Certificate(
            decision=decision,
            objective="mean end-to-end latency",
            unit="s",
            sense="cost",
            policy=name,
            value=float(run.e2e_s.mean()),
            bound=bound_s,
            bound_method=method,
            model=model,
            seconds=took_s + run.seconds,
            load=case.load,
            advice=advise(name),
        )
        for name, run in served.items()
    )
