"""Together or apart as plain JSON values (docs/disaggregation.md has the schema)."""

import math
from dataclasses import asdict
from typing import Any

from shadowprice.fleet.describe import describe as describe_fleet
from shadowprice.plan.pools.table import advice
from shadowprice.plan.results import PoolsPlan, dumped
from shadowprice.simulate.pools_study import Outcome
from shadowprice.workload.statistics import describe as describe_trace


@dumped.register
def pools_to_json(plan: PoolsPlan) -> dict[str, Any]:
    """One object; numbers that are not known, or not limited, are None."""
    setting, bound = plan.setting, plan.bound
    return {
        "trace": describe_trace(setting.trace).to_json(),
        "fleet": describe_fleet(plan.fleet),
        "workers": setting.workers,
        "gpus": plan.gpus,
        "slo": {name: _finite(value) for name, value in asdict(plan.slo).items()},
        "link": None if setting.link is None else asdict(setting.link),
        "first_token": setting.first_token,
        "together": {"best": _outcome(plan, plan.best_together), "all": [_outcome(plan, o) for o in plan.together]},
        "apart": {"best": _outcome(plan, plan.best_apart), "all": [_outcome(plan, o) for o in plan.apart]},
        "gain": _finite(plan.gain),
        "bound": {
            "goodput_per_s": _finite(bound.rate_per_s),
            "goodput_per_gpu_s": _finite(bound.rate_per_s / plan.gpus),
            "out_of_reach": bound.out_of_reach,
        },
        "stable_rates_per_s": {name: _finite(value) for name, value in asdict(plan.rates).items()},
        "split_by_means": asdict(plan.split),
        "expected": asdict(plan.expected),
        "advice": advice(plan),
        "unjudged": plan.unjudged,
        "notes": list(plan.notes),
    }


def _outcome(plan: PoolsPlan, found: Outcome) -> dict[str, Any]:
    x = found.design.prefill_workers
    return {
        "prefill_workers": x,
        "decode_workers": None if x == 0 else plan.setting.workers - x,
        "max_num_batched_tokens": found.design.chunk_tokens,
        "goodput_per_s": found.rate_per_s,
        "goodput_per_gpu_s": found.rate_per_s / plan.gpus,
        "bound_per_s": _finite(found.bound_per_s),
        "ttft_s": found.ttft_s,
        "tpot_s": found.tpot_s,
        "inside_slo": found.inside,
        "kv_tokens_between": found.between_tokens,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
