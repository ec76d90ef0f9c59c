"""Balance-Future: a window of expected loads."""

from typing import Any

from shadowprice.errors import PolicyError
from shadowprice.routing._window_kernel import LEARNED, NO_FORECAST, PREDICTED
from shadowprice.routing.compiled import Compiled, at_least
from shadowprice.routing.policies.priced_holes import MOST_PASSES, balanced, parameters

FORECASTS = {"none": NO_FORECAST, "learned": LEARNED, "predicted": PREDICTED}


def bf_io(
    horizon: int | None = None,
    points: int = 5,
    *,
    forecast: str = "learned",
    discount: float = 1.0,
    price: float = 0.25,
    most_passes: int = MOST_PASSES,
    prefill_kv_tokens: float = 0.0,
    **others: Any,
) -> Compiled:
    """Balance-Future over a window of `horizon` steps, looked at in `points` of them, with holes priced in.

    After BF-IO (arXiv 2601.17855): all waiting requests are assigned together, to minimise the imbalance of the
    window. forecast: "learned" weighs each running request by the chance that its age leaves it, a hazard learned
    online; "predicted" takes `predicted_output` at its word (an oracle when exact); "none" looks at the coming step
    only. discount: weight of a step ahead relative to the one before. price=0 leaves the pure window; else see
    `priced_holes`, which has the other parameters too. `optimum.step_optimum` is its exact integer program.
    """
    others.setdefault("growth_tie", 0.0)
    if forecast not in FORECASTS:
        raise PolicyError(f"bf_io: forecast is {forecast!r}; expected one of {', '.join(FORECASTS)}")
    points = at_least(1, points, "points")
    if horizon is not None and at_least(0, horizon, "horizon") == 0:
        forecast = "none"
    points = 1 if forecast == "none" else points
    stride = -1.0 if horizon is None else horizon / max(points - 1, 1)
    holes = parameters(price=price, most_passes=most_passes, prefill_kv_tokens=prefill_kv_tokens, **others)
    window = holes._replace(forecast=FORECASTS[forecast], points=points, stride=stride, discount=discount)
    return balanced("bf_io", window, "by the loads to come")
