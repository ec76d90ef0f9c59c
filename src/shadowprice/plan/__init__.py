"""The plan: how many GPUs a trace needs, and whether they prefill and decode together or apart (docs/)."""

from shadowprice.plan.autoscale import Autoscaled, AutoscaleOptions, autoscale
from shadowprice.plan.batch import BatchAt, BatchPlan, plan_batch
from shadowprice.plan.measure import Policies
from shadowprice.plan.mixture import Mixture, plan_mixture
from shadowprice.plan.pools.options import PoolsOptions
from shadowprice.plan.pools.plan import plan_pools
from shadowprice.plan.results import Plan, PoolsPlan
from shadowprice.plan.sizing.plan import plan, with_price
from shadowprice.plan.sweep import sweep
from shadowprice.plan.targets import Targets
from shadowprice.verb import make_verb

__all__ = [
    "AutoscaleOptions",
    "Autoscaled",
    "BatchAt",
    "BatchPlan",
    "Mixture",
    "Plan",
    "Policies",
    "PoolsOptions",
    "PoolsPlan",
    "Targets",
    "autoscale",
    "plan",
    "plan_batch",
    "plan_mixture",
    "plan_pools",
    "sweep",
    "with_price",
]

make_verb(__name__)
