"""shadowprice: the decisions of an LLM serving fleet by mathematical optimization, with a certified gap.

Names are imported when they are first used, so that `import shadowprice` costs milliseconds. `audit`, `plan` and
`simulate` are called and are packages too. Policies stand with their decision: `scheduling.POLICIES`,
`routing.POLICIES`, `disaggregation.POLICIES`, `experts.POLICIES`.

>>> import shadowprice as sp
>>> sp.read_fleet("llama-3.1-8b-h100").gpu.name
'H100'
>>> policy = sp.scheduling.POLICIES["priced_work"](max_wait_s=60)
"""

from importlib import import_module

TYPE_CHECKING = False  # as type checkers know it; `typing` would take longer to import than all the rest
if TYPE_CHECKING:  # what `__getattr__` gives
    from typing import Any

    from shadowprice import capacity, disaggregation, experts, fleet, routing, scheduling, workload
    from shadowprice.audit import Audit, AuditOptions, audit
    from shadowprice.calibrate import Fit, fit
    from shadowprice.capacity import Stability, stability
    from shadowprice.certificate import Certificate
    from shadowprice.disaggregation import Link, Slo
    from shadowprice.errors import (
        ExpertError,
        FleetError,
        InfeasibleError,
        MissingExtraError,
        PolicyError,
        RouterError,
        ShadowpriceError,
        TraceError,
    )
    from shadowprice.experts import ExpertLoads, ExpertOptions, Placement, read_loads
    from shadowprice.fleet import Fleet, Gpu, Model, StepTime, Worker, read_fleet, read_model, write_fleet
    from shadowprice.plan import (
        BatchPlan,
        Plan,
        Policies,
        PoolsOptions,
        PoolsPlan,
        Targets,
        plan,
        plan_batch,
        plan_pools,
    )
    from shadowprice.report import write_page
    from shadowprice.scheduling.latency_bound import LatencyBound, latency_bound
    from shadowprice.simulate import EngineRun, simulate
    from shadowprice.simulate.routing_bench import RoutingBench, bench_routing
    from shadowprice.workload import MeasuredLog, Trace, read_measured, read_trace, write_trace

    __version__: str

__all__ = [
    "Audit",
    "AuditOptions",
    "BatchPlan",
    "Certificate",
    "EngineRun",
    "ExpertError",
    "ExpertLoads",
    "ExpertOptions",
    "Fit",
    "Fleet",
    "FleetError",
    "Gpu",
    "InfeasibleError",
    "LatencyBound",
    "Link",
    "MeasuredLog",
    "MissingExtraError",
    "Model",
    "Placement",
    "Plan",
    "Policies",
    "PolicyError",
    "PoolsOptions",
    "PoolsPlan",
    "RouterError",
    "RoutingBench",
    "ShadowpriceError",
    "Slo",
    "Stability",
    "StepTime",
    "Targets",
    "Trace",
    "TraceError",
    "Worker",
    "__version__",
    "audit",
    "bench_routing",
    "capacity",
    "disaggregation",
    "experts",
    "fit",
    "fleet",
    "latency_bound",
    "plan",
    "plan_batch",
    "plan_pools",
    "read_fleet",
    "read_loads",
    "read_measured",
    "read_model",
    "read_trace",
    "routing",
    "scheduling",
    "simulate",
    "stability",
    "workload",
    "write_fleet",
    "write_page",
    "write_trace",
]

_PACKAGES = {
    "audit",  # these three are functions too: see `verb`
    "plan",
    "simulate",
    "capacity",
    "disaggregation",
    "experts",
    "fleet",
    "routing",
    "scheduling",
    "workload",
}
_HOMES = {
    "audit": "Audit AuditOptions",
    "calibrate": "Fit fit",
    "capacity": "Stability stability",
    "certificate": "Certificate",
    "disaggregation": "Link Slo",
    "errors": (
        "ExpertError FleetError InfeasibleError MissingExtraError PolicyError RouterError ShadowpriceError TraceError"
    ),
    "experts": "ExpertLoads ExpertOptions Placement read_loads",
    "fleet": "Fleet Gpu Model StepTime Worker read_fleet read_model write_fleet",
    "plan": "BatchPlan Plan Policies PoolsOptions PoolsPlan Targets plan_batch plan_pools",
    "report": "write_page",
    "scheduling.latency_bound": "LatencyBound latency_bound",
    "simulate": "EngineRun",
    "simulate.routing_bench": "RoutingBench bench_routing",
    "workload": "MeasuredLog Trace read_measured read_trace write_trace",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> "Any":
    """The name from its home, imported now. Raises AttributeError for one that the door does not show."""
    if name == "__version__":
        found: Any = _version()
    elif name in _PACKAGES:
        found = import_module(f"{__name__}.{name}")
    elif name in _HOME:
        found = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("shadowprice")
    except PackageNotFoundError:  # run from a source tree
        return "0"
