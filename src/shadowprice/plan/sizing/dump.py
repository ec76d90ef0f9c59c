"""The plan as plain JSON values (docs/capacity.md has the schema)."""

from dataclasses import asdict
from typing import Any

from shadowprice.fleet.describe import describe as describe_fleet
from shadowprice.plan.results import Plan, binding_in_words, dumped
from shadowprice.workload.statistics import describe as describe_trace


@dumped.register
def plan_to_json(plan: Plan) -> dict[str, Any]:
    """One object; numbers that are not known are None."""
    found, size = plan.stability, plan.workers or plan.workers_stable
    return {
        "trace": describe_trace(plan.trace).to_json(),
        "fleet": describe_fleet(plan.fleet),
        "targets": {
            "ttft_p99_s": plan.targets.ttft_s,
            "tpot_p99_s": plan.targets.tpot_s,
            "quantile": plan.targets.quantile,
        },
        "policies": {"scheduling": plan.policies.scheduling.name, "routing": plan.policies.routing},
        "stability": {
            "rate_per_s": found.rate_per_s,
            "rate_max_per_worker": found.rate_max_per_s,
            "interval": found.interval,
            "load_per_worker": found.load_per_worker,
            "load_interval": found.load_interval,
            "binding": found.binding,
            "limit": found.limit,
            "shares": found.shares,
            "words": binding_in_words(plan),
            "headroom": found.headroom(size),
            "headroom_interval": found.headroom_interval(size),
            "fleet": {
                "workers": plan.fleet.workers,
                "headroom": found.headroom(plan.fleet.workers),
                "headroom_interval": found.headroom_interval(plan.fleet.workers),
                "verdict": found.verdict(plan.fleet.workers),
            },
        },
        "workers": {"stable": plan.workers_stable, "slo": plan.workers_slo},
        "gpus": {
            "stable": plan.workers_stable * plan.fleet.gpus_per_worker,
            "slo": None if plan.workers_slo is None else plan.workers_slo * plan.fleet.gpus_per_worker,
        },
        "at": [at.to_json() for at in plan.at],
        "burst": None if plan.doubled is None else plan.doubled.to_json(),
        "worst_minutes": None if plan.worst is None else plan.worst.to_json(),
        "prices": {name: asdict(price) for name, price in plan.prices.items()},
        "impossible": plan.impossible,
        "unjudged": plan.unjudged,
        "notes": list(plan.notes),
    }
