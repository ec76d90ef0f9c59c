"""The plan: how many GPUs a trace needs to be stable and on time, and what would change that (docs/capacity.md)."""

from shadowprice.plan.autoscale import Autoscaled, autoscale
from shadowprice.plan.measure import Rules
from shadowprice.plan.mixture import Mixture, plan_mixture
from shadowprice.plan.sizing import Plan, plan, with_price
from shadowprice.plan.sweep import sweep
from shadowprice.plan.targets import Targets

__all__ = [
    "Autoscaled",
    "Mixture",
    "Plan",
    "Rules",
    "Targets",
    "autoscale",
    "plan",
    "plan_mixture",
    "sweep",
    "with_price",
]
