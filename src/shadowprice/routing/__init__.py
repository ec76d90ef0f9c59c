"""Which data-parallel worker gets a request, where every step waits for the slowest worker.

The instance and its program: `problem.py`. Exact optima, the fast solver of one step and bounds: `optimum.py`.
Policies, those of production routers and ours: `policies.py`; what they see and answer: `surface.py`.
`simulate.barrier` drives them through time.
"""

from shadowprice.routing.compiled import Compiled
from shadowprice.routing.optimum import (
    StepOptimum,
    barrier_time_bound,
    busy_time_bound,
    hindsight_optimum,
    solve_step,
    step_optimum,
    volumes,
)
from shadowprice.routing.policies import POLICIES, bf_io, br_0, least_kv, make, priced_holes
from shadowprice.routing.problem import StepProblem
from shadowprice.routing.surface import Active, Needs, Pending, RoutingPolicy, Workers

__all__ = [
    "POLICIES",
    "Active",
    "Compiled",
    "Needs",
    "Pending",
    "RoutingPolicy",
    "StepOptimum",
    "StepProblem",
    "Workers",
    "barrier_time_bound",
    "bf_io",
    "br_0",
    "busy_time_bound",
    "hindsight_optimum",
    "least_kv",
    "make",
    "priced_holes",
    "solve_step",
    "step_optimum",
    "volumes",
]
