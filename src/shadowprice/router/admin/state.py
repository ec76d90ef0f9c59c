"""What the admin port shows and changes, from the router that runs (`control.py` is its side of it)."""

import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

import shadowprice
from shadowprice.arrays import FloatArray
from shadowprice.router.decide.first_run import FirstRun
from shadowprice.router.fleet.worker import PROBING, UP, LiveWorker
from shadowprice.router.processes.messages import Files, Report
from shadowprice.router.roster import Roster
from shadowprice.router.router import Router
from shadowprice.router.shadow.runner import ShadowRunner

SAMPLES = 600
ENDS = ("2xx", "3xx", "4xx", "5xx", "aborted")
RECENT_S = 10.0  # of the percentiles in a sample


class LiveControl:
    """Reads the router's state; keeps a sample of it per second.

    files: what this process has written. reports: what the other processes last told.
    """

    def __init__(
        self,
        router: Router,
        roster: Roster,
        first_run: FirstRun,
        shadow: ShadowRunner | None,
        files: Callable[[], Files],
        reports: Callable[[], list[Report]],
    ) -> None:
        self.router = router
        self.add_worker, self.remove_worker = roster.add_worker, roster.remove_worker
        self.set_policy = roster.set_policy
        self._first_run = first_run
        self._shadow, self._written, self._reports = shadow, files, reports
        self.started_s = time.time()
        self._samples: deque[dict[str, Any]] = deque(maxlen=SAMPLES)
        self._last = (0, 0)  # refusals and tokens when last sampled

    def snapshot(self) -> dict[str, Any]:
        """The state now."""
        router, settings, statistics = self.router, self.router.settings, self.router.statistics
        now_s = router.clock()
        workers = self._workers()
        loads = _serving_loads(workers)
        requests, prompt_tokens, oldest_wait_s = self._all_waiting()
        reports = self._reports()
        return {
            "now_s": time.time(),
            "uptime_s": time.time() - self.started_s,
            "version": shadowprice.__version__,
            "policy": router.dispatcher.policy.name,
            "kernels": self._first_run.to_json() | {"decides": router.dispatcher.decides.name},
            "scheduling_policy": router.dispatcher.order.name,
            "lockstep": settings.lockstep,
            "state": "draining" if router.draining else "serving",
            "workers": workers,
            "queue": {
                "requests": requests,
                "prompt_tokens": prompt_tokens,
                "oldest_wait_s": oldest_wait_s,
                "size_limit": settings.queue_size,
            },
            "in_flight": router.in_flight + sum(report.in_flight for report in reports),
            "imbalance_tokens": float((loads.max() - loads).sum()) if len(loads) else 0.0,
            "idle_share": _idle_share(loads),
            "latency": statistics.percentiles(now_s),
            "histograms": {name: histogram.to_json() for name, histogram in statistics.histograms().items()},
            "refused_total": dict(statistics.refused),
            "responses_total": {name: statistics.responses[name] for name in ENDS},
            "retries_total": statistics.retries_total,
            "truncated_total": statistics.truncated_total,
            "prices": self._prices(),
            "processes": [
                {"pid": os.getpid(), "in_flight": router.in_flight, "decides": router.dispatcher.decides.name},
                *({"pid": report.pid, "in_flight": report.in_flight, "decides": report.decides} for report in reports),
            ],
            **self._files(),
        }

    def _files(self) -> Files:
        """The record and the access log, of all processes."""
        told = [self._written(), *(report.files for report in self._reports())]
        return {name: _together([one for one in (files[name] for files in told) if one]) for name in told[0]}

    def _all_waiting(self) -> tuple[int, int, float]:
        queues = [self.router.dispatcher.queue(), *(report.waiting for report in self._reports())]
        return sum(queue[0] for queue in queues), sum(queue[1] for queue in queues), max(queue[2] for queue in queues)

    def _workers(self) -> list[dict[str, Any]]:
        workers = self.router.fleet.workers
        loads = self.router.flights.loads()
        return [self._worker(worker, *load) for worker, load in zip(workers, loads, strict=True)]

    def _worker(self, worker: LiveWorker, running: int, waiting: int, kv: int, waiting_kv: int) -> dict[str, Any]:
        return {
            "name": worker.name,
            "state": worker.state,
            "state_reason": worker.reason or worker.rank_note,
            "running": running,
            "waiting": waiting + worker.reported.foreign_requests,
            "kv_tokens": kv + waiting_kv + worker.reported.foreign_kv_tokens,
            "kv_capacity_tokens": worker.reported.kv_capacity_tokens,
            "kv_capacity_source": worker.reported.kv_capacity_source,
            "slots": self.router.settings.max_num_seqs,
            "step_time_s": worker.steps.time_s,
            "speed": worker.steps.speed,
        } | worker.counts.to_json()

    def _prices(self) -> dict[str, float | None]:
        """What a slot-step and a KV-token-step of a worker are worth in seconds, and the price of a hole per token."""
        model, policy = self.router.fleet.model, self.router.dispatcher.policy
        return {
            "hole_kv_tokens": policy.hole_price,
            "slot_s": model.step_time.fixed_s / model.max_num_seqs + model.step_time.per_sequence_s,
            "kv_token_s": model.step_time.fixed_s / model.kv_tokens + model.step_time.per_kv_token_s,
        }

    def history(self) -> dict[str, Any]:
        """Equally long lists, one sample a second."""
        names = [worker.name for worker in self.router.fleet.workers]
        columns: dict[str, Any] = {"workers": names}
        for name in ("t", *_COLUMNS):
            columns[name] = [sample[name] for sample in self._samples]
        columns["kv_tokens"] = [[sample["kv"].get(name, 0) for name in names] for sample in self._samples]
        return columns

    def sample(self) -> None:
        """Take a sample; to be called once a second."""
        router, now_s = self.router, self.router.clock()
        statistics = router.statistics
        statistics.histograms()
        recent = statistics.percentiles(now_s, RECENT_S)
        workers = self._workers()
        loads = _serving_loads(workers)
        refused, tokens = sum(statistics.refused.values()), statistics.tokens_total
        kv = {worker["name"]: worker["kv_tokens"] for worker in workers}
        self._samples.append(
            {
                "t": time.time(),
                "kv": kv,
                "queue": self._all_waiting()[0],
                "in_flight": router.in_flight + sum(report.in_flight for report in self._reports()),
                "imbalance_tokens": float((loads.max() - loads).sum()) if len(loads) else 0.0,
                "idle_share": _idle_share(loads),
                "ttft_p50_s": recent["ttft_s"]["p50"],
                "ttft_p99_s": recent["ttft_s"]["p99"],
                "tpot_p50_s": recent["tpot_s"]["p50"],
                "tpot_p99_s": recent["tpot_s"]["p99"],
                "refused_per_s": refused - self._last[0],
                "tokens_per_s": tokens - self._last[1],
            }
        )
        self._last = (refused, tokens)

    def shadow(self) -> dict[str, Any]:
        """Every policy on the live trace."""
        return {"state": "off", "requests": 0, "needed": 0} if self._shadow is None else self._shadow.to_json()


_COLUMNS = (
    "queue",
    "in_flight",
    "imbalance_tokens",
    "idle_share",
    "ttft_p50_s",
    "ttft_p99_s",
    "tpot_p50_s",
    "tpot_p99_s",
    "refused_per_s",
    "tokens_per_s",
)


def _together(told: list[dict[str, Any]]) -> dict[str, Any] | None:
    """What one file's writers tell: counts summed, the rest as the first one has it."""
    if not told:
        return None
    sums = {name: sum(one[name] for one in told) for name, value in told[0].items() if isinstance(value, int)}
    error = next((one["last_error"] for one in told if one["last_error"]), told[0]["last_error"])
    return told[0] | sums | {"last_error": error}


def _serving_loads(workers: list[dict[str, Any]]) -> FloatArray:
    """KV tokens of the workers that serve."""
    return np.array([worker["kv_tokens"] for worker in workers if worker["state"] in (UP, PROBING)], np.float64)


def _idle_share(loads: FloatArray) -> float:
    """Share of the workers' time in which they would wait for the one with most, were time proportional to load."""
    return float((loads.max() - loads).sum() / (len(loads) * loads.max())) if len(loads) and loads.max() > 0 else 0.0
