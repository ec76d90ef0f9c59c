"""Where splitting pays: goodput of the best split over that of the best chunk size, over limits and over lengths."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from shadowprice.arrays import FloatArray
from shadowprice.disaggregation import Slo, estimate, pool_rates
from shadowprice.errors import PolicyError
from shadowprice.fleet.worker import Worker
from shadowprice.plan.progress import Tick
from shadowprice.plan.sweep import sweep
from shadowprice.simulate.pools_study import Design, PoolsSetting, chunks, goodput_grid
from shadowprice.workload.trace import Trace

REQUESTS = 3000
RATES = np.geomspace(0.03, 1.1, 20)  # of the stable rate together
AROUND = np.geomspace(1 / 4, 4, 13)  # of the limits that were asked for
RATIOS = np.geomspace(1 / 4, 64, 9)  # mean prompt over mean output tokens
CHUNK_PARTS = (1, 1 / 2, 1 / 4, 1 / 8, 1 / 12, 1 / 16, 1 / 24, 1 / 32)
PREFILL_PARTS = (1, 1 / 4)
KNOWN = 500  # requests that the formulas are computed on


@dataclass(frozen=True)
class Gains:
    """Goodput of the best split over that of the best chunk size, [rows, tpot_s]; NaN where neither serves.

    simulated, expected: by simulation, and by the formulas of `disaggregation/fluid.py`. rows: TTFT limits [s], or
    ratios of prompt to output. Infinite where only a split serves, 0 where only sharing does.
    """

    rows: FloatArray
    tpot_s: FloatArray
    simulated: FloatArray
    expected: FloatArray

    @property
    def agreement(self) -> float:
        """Share of cells in which formula and simulation say the same of splitting, where either gains over 5 %."""
        known = np.isfinite(self.simulated) & np.isfinite(self.expected) & (np.abs(self.simulated - 1) > 0.05)
        same = (self.simulated > 1) == (self.expected > 1)
        return float(same[known].mean()) if known.any() else 1.0

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; None where neither serves, or only one."""
        tables = {name: getattr(self, name) for name in ("simulated", "expected")}
        return {"rows": self.rows.tolist(), "tpot_s": self.tpot_s.tolist(), "agreement": self.agreement} | {
            name: [[x if np.isfinite(x) else None for x in row] for row in table.tolist()]
            for name, table in tables.items()
        }


@dataclass(frozen=True)
class PoolsMap:
    """by_limits: rows are TTFT limits, lengths as in the trace. by_ratio: rows are prompt/output, TTFT as asked."""

    setting: PoolsSetting
    slo: Slo
    by_limits: Gains
    by_ratio: Gains


def pools_map(
    setting: PoolsSetting, slo: Slo, *, jobs: int = -1, backend: str = "loky", tick: Tick = lambda done, of: None
) -> PoolsMap:
    """Both maps around the limits in `slo`, on the trace's first requests.

    A run of a design at one rate answers for all limits at once. by_ratio changes prompts and outputs by one factor up
    and down. tick, jobs, backend: as in `plan_pools`. Raises PolicyError where a limit is not finite.
    """
    if not (np.isfinite(slo.ttft_s) and np.isfinite(slo.tpot_s)):
        raise PolicyError(f"a map around TTFT {slo.ttft_s} s and TPOT {slo.tpot_s} s; expected two finite limits")
    short = replace(setting, trace=setting.trace.take(np.arange(min(REQUESTS, len(setting.trace)))))
    ttft_s, tpot_s = slo.ttft_s * AROUND, slo.tpot_s * AROUND
    settings = [short] + [replace(short, trace=with_ratio(short.trace, ratio, short.worker)) for ratio in RATIOS]
    designs = _designs(short)
    cases = [(i, design) for i in range(len(settings)) for design in designs]
    look = partial(_goodputs, settings, ttft_s, tpot_s, slo)
    found = np.array(sweep(look, cases, jobs=jobs, backend=backend, done=lambda done: tick(done, len(cases))))
    grids = found.reshape(len(settings), len(designs), len(ttft_s), len(tpot_s))
    apart = np.array([design.prefill_workers > 0 for design in designs])
    gains = _over(grids[:, apart].max(axis=1), grids[:, ~apart].max(axis=1))
    asked = len(ttft_s) // 2
    expected = np.array([[_expected(short, Slo(a, b, slo.attainment)) for b in tpot_s] for a in ttft_s])
    by_ratio = np.array([[_expected(one, Slo(slo.ttft_s, b, slo.attainment)) for b in tpot_s] for one in settings[1:]])
    return PoolsMap(
        setting,
        slo,
        Gains(ttft_s, tpot_s, gains[0], expected),
        Gains(RATIOS, tpot_s, gains[1:, asked], by_ratio),
    )


def with_ratio(trace: Trace, ratio: float, worker: Worker) -> Trace:
    """Prompts and outputs changed by one factor, up and down, so that their means have this ratio; at least 1 token.

    No request becomes larger than the worker's KV memory.
    """
    factor = np.sqrt(ratio * float(trace.output_tokens.mean()) / float(trace.prompt_tokens.mean()))
    holds = worker.kv_blocks * worker.block_size
    prompt = np.clip(np.rint(trace.prompt_tokens * factor), 1, holds // 2).astype(np.int64)
    output = np.clip(np.rint(trace.output_tokens / factor), 1, holds // 2).astype(np.int64)
    return Trace(trace.arrival_s, prompt, output, name=trace.name)


def _designs(setting: PoolsSetting) -> list[Design]:
    together = [Design(0, size) for size in chunks(setting.worker, CHUNK_PARTS)]
    sizes = chunks(setting.worker, PREFILL_PARTS)
    return together + [Design(x, size) for x in range(1, setting.workers) for size in sizes]


def _goodputs(
    settings: list[PoolsSetting], ttft_s: FloatArray, tpot_s: FloatArray, slo: Slo, case: tuple[int, Design]
) -> FloatArray:
    """Goodput of one design on one setting under every pair of limits."""
    setting = settings[case[0]]
    rates = RATES * setting.workers * pool_rates(setting.problem(slo)).together_per_s
    return goodput_grid(setting, case[1], rates, ttft_s, tpot_s, slo.attainment)


def _over(apart: FloatArray, together: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(apart / together)


def _expected(setting: PoolsSetting, slo: Slo) -> float:
    """The same ratio by the formulas."""
    few = replace(setting, trace=setting.trace.take(np.arange(min(KNOWN, len(setting.trace)))))
    found = estimate(few.problem(slo))
    return float(_over(np.array(max(found.apart_per_s)), np.array(found.together_per_s)))
