"""From a trace and a fleet to certificates, decision by decision and load by load."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from shadowprice.audit import capacity, disaggregation, experts, makespan, routing, scheduling
from shadowprice.audit.case import Case, fleet_rate_per_s, make_case
from shadowprice.audit.finding import Finding
from shadowprice.audit.options import AuditOptions
from shadowprice.audit.result import Audit
from shadowprice.experts.loads import ExpertLoads, Routing
from shadowprice.fleet.fleet import Fleet
from shadowprice.fleet.oversized import drop_oversized
from shadowprice.workload.trace import Trace

# What is certified, in this order: a decision is a file with one function and a row here. None, or nothing in the
# tuple, where a case leaves nothing to decide.
DECISIONS: dict[str, Callable[[Case], Finding | tuple[Finding, ...] | None]] = {
    "makespan": makespan.certify,
    "routing": routing.certify,
    "scheduling": scheduling.certify,
    "capacity": capacity.certify,
    "disaggregation": disaggregation.certify,
    "experts": experts.certify,
}

Progress = Callable[[Sequence[tuple[str, Case]]], Iterable[tuple[str, Case]]]


def audit(
    trace: Trace,
    fleet: Fleet,
    loads: Sequence[float] | None = None,
    options: AuditOptions = AuditOptions(),
    *,
    expert_loads: ExpertLoads | Routing | None = None,
    progress: Progress = iter,
) -> Audit:
    """Certify every decision of DECISIONS on the trace as it runs, or at each of `loads`.

    Parameters
    ----------
    trace : Trace
        What arrives.
    fleet : Fleet
        What serves it.
    loads : sequence of float, optional
        Fractions of the stable rate to which arrivals are rescaled, one block of certificates each.
    options : AuditOptions
        Parameters of the decisions.
    expert_loads : ExpertLoads or Routing, optional
        Tokens of the experts of an MoE model, on which placement and dispatch are certified too.
    progress : callable, optional
        Wraps the list of (decision, case) as it is gone through, like `rich.progress.track`.

    Returns
    -------
    Audit
        The certificates, with trace and fleet.

    Raises
    ------
    TraceError
        For a trace without requests, or an impossible load.
    InfeasibleError
        For a request larger than a worker's memory, unless `options.drop_oversized`.
    ExpertError
        For loads and GPUs that do not fit.

    References
    ----------
    Bounds and their proofs: docs/scheduling.md, docs/routing.md, docs/capacity.md, docs/experts.md.

    Examples
    --------
    >>> import numpy as np, shadowprice as sp
    >>> trace = sp.workload.PRESETS["azure-conv-like"](np.random.default_rng(0), requests=50)
    >>> found = sp.audit(trace, sp.read_fleet("llama-3.1-8b-h100"), loads=[0.9])
    >>> all(c.gap >= 0 for f in found.findings for c in f.certificates if c.gap is not None)
    True
    """
    dropped = 0
    if options.drop_oversized:
        trace, dropped = drop_oversized(trace, fleet.worker)
    made = [make_case(trace, fleet, load, options) for load in (loads if loads else (None,))]
    cases = [replace(case, expert_loads=expert_loads, last=case is made[-1]) for case in made]
    todo = [(decision, case) for case in cases for decision in DECISIONS]
    findings: list[Finding] = []
    for decision, case in progress(todo):
        found = DECISIONS[decision](case)
        findings += found if isinstance(found, tuple) else () if found is None else (found,)
    return Audit(trace, fleet, fleet_rate_per_s(trace, fleet), tuple(findings), dropped, options)
