"""A router's control that replays what the barrier simulator did, sample by sample, for the admin port to show."""

import time
from typing import Any

import numpy as np

from shadowprice.errors import PolicyError, RouterError
from shadowprice.routing import POLICIES, barrier_time_bound
from shadowprice.simulate._barrier_run import BarrierRun
from shadowprice.simulate.barrier import STEP_TIME, Ranks, simulate_barrier
from shadowprice.workload.trace import Trace

WORKERS, SLOTS, CAPACITY_TOKENS, QUEUE_LIMIT = 8, 64, 160_000, 256
BUCKETS_S = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]
BUCKETS_TOKENS = [16, 64, 256, 1024, 4096]
REFUSED = ("queue_full", "queue_timeout", "in_flight", "no_worker", "unauthorized", "too_large")
NAMES = tuple(f"http://127.0.0.1:{8001 + g}" for g in range(WORKERS))


def traffic(n: int = 36_000, span_s: float = 720.0) -> Trace:
    """Twelve minutes at a steady rate, with a burst that fills all slots in the middle."""
    rng = np.random.default_rng(11)
    arrival_s = np.sort(np.concatenate([rng.uniform(0, span_s, n), rng.uniform(330, 370, n // 16)]))
    prompt = rng.lognormal(6.4, 0.9, len(arrival_s)).astype(np.int64) + 1
    return Trace(arrival_s, np.minimum(prompt, 8000), rng.geometric(1 / 220, len(arrival_s)))


def run_of(policy: str, trace: Trace) -> BarrierRun:
    return simulate_barrier(trace, POLICIES[policy](), Ranks(workers=WORKERS, slots=SLOTS), pool=64, samples=4096)


class ReplayControl:
    """Shows second `second` of the run, and further ones as real seconds pass while `moving`."""

    def __init__(self, policy: str = "bf_io", *, second: int = 620, moving: bool = True) -> None:
        self.policy, self.names, self.states = policy, list(NAMES), ["up"] * WORKERS
        self.trace = traffic()
        self.run = run_of(policy, self.trace)
        self.second, self.moving, self.began_s = second, moving, time.time()
        self.removed: list[tuple[str, bool]] = []
        self.evaluation: dict[str, Any] | None = None
        self.samples = [self._sample(s) for s in range(int(self.run.finish_s.max()))]

    def now(self) -> int:
        passed = int(time.time() - self.began_s) if self.moving else 0
        return min(self.second + passed, len(self.samples) - 1)

    def snapshot(self) -> dict[str, Any]:
        now = self.now()
        sample, done = self.samples[now], self.run.finish_s <= now
        waiting = (self.trace.arrival_s <= now) & (self.run.first_token_s > now)
        recent = done & (self.run.finish_s > now - 300)
        refused = int(sum(sample["refused_per_s"] for sample in self.samples[: now + 1]))
        workers = [self._worker(g, now) for g in range(len(self.names))]
        return {
            "now_s": self.began_s - self.second + now,
            "uptime_s": float(now),
            "version": "0.1.0",
            "policy": self.policy,
            "kernels": {"state": "compiled", "error": "", "decides": self.policy},
            "scheduling_policy": "fcfs",
            "lockstep": True,
            "state": "serving",
            "workers": workers,
            "queue": {
                "requests": sample["queue"],
                "prompt_tokens": int(self.trace.prompt_tokens[waiting].sum()),
                "oldest_wait_s": float(now - self.trace.arrival_s[waiting].min()) if waiting.any() else 0.0,
                "size_limit": QUEUE_LIMIT,
            },
            "in_flight": sample["in_flight"],
            "imbalance_tokens": sample["imbalance_tokens"],
            "idle_share": sample["idle_share"],
            "latency": {name: self._percentiles(values[recent]) for name, values in self._times().items()},
            "histograms": self._histograms(done),
            "refused_total": dict.fromkeys(REFUSED, 0) | {"queue_full": refused, "unauthorized": 2},
            "responses_total": {"2xx": int(done.sum()), "3xx": 0, "4xx": refused + 2, "5xx": 1, "aborted": 12},
            "retries_total": 4,
            "truncated_total": 1,
            "prices": {"hole_kv_tokens": 1.0, "slot_s": 0.0125, "kv_token_s": None},
            "access_log": {"path": "access.log", "lost_total": 3, "errors_total": 1, "last_error": "disk full"},
            "processes": [{"pid": 4242, "in_flight": sample["in_flight"]}],
        }

    def history(self) -> dict[str, Any]:
        now = self.now()
        shown = self.samples[max(0, now - 599) : now + 1]
        start_s = self.began_s - self.second + max(0, now - 599)
        fields = {name: [sample[name] for sample in shown] for name in shown[0]}
        return {"t": [start_s + i for i in range(len(shown))], "workers": self.names, **fields}

    def shadow(self) -> dict[str, Any]:
        if self.evaluation is not None:
            return self.evaluation
        return {
            "state": "collecting",
            "requests": int((self.run.finish_s <= self.now()).sum()),
            "needed": 100_000,
            "last_error": "",
        }

    async def add_worker(self, url: str) -> list[str]:
        if not url.startswith("http://"):
            raise RouterError(f"worker URL is {url!r}; expected http://host:port")
        self.names.append(url)
        self.states.append("probing")
        return [url]

    async def remove_worker(self, name: str, *, drain: bool) -> None:
        self.removed.append((name, drain))
        at = self.names.index(name)
        if drain:
            self.states[at] = "draining"
        else:
            del self.names[at], self.states[at]

    async def set_policy(self, name: str) -> None:
        if name not in POLICIES:
            raise PolicyError(f"policy is {name!r}; expected one of {', '.join(POLICIES)}")
        self.policy = name

    def _times(self) -> dict[str, np.ndarray]:
        run, trace = self.run, self.trace
        return {
            "ttft_s": run.first_token_s - trace.arrival_s,
            "tpot_s": (run.finish_s - run.first_token_s) / np.maximum(1, trace.output_tokens - 1),
            "e2e_s": run.finish_s - trace.arrival_s,
        }

    def _sample(self, second: int) -> dict[str, Any]:
        """One second of the run as the history has it; refused: what came while more queued than the limit allows."""
        row = min(int(np.searchsorted(self.run.time_s, second)), len(self.run.time_s) - 1)
        kv = self.run.load_tokens[row]
        arrived, begun, done = (t <= second for t in (self.trace.arrival_s, self.run.first_token_s, self.run.finish_s))
        recent = done & (self.run.finish_s > second - 30)
        ttft, tpot = (self._percentiles(self._times()[name][recent]) for name in ("ttft_s", "tpot_s"))
        queued, came = int((arrived & ~begun).sum()), int((arrived & (self.trace.arrival_s > second - 1)).sum())
        imbalance = float((kv.max() - kv).sum())
        return {
            "kv_tokens": [int(tokens) for tokens in kv],
            "queue": queued,
            "in_flight": int((arrived & ~done).sum()),
            "imbalance_tokens": imbalance,
            "idle_share": imbalance / (WORKERS * max(1.0, float(kv.max()))),
            "ttft_p50_s": ttft["p50"],
            "ttft_p99_s": ttft["p99"],
            "tpot_p50_s": tpot["p50"],
            "tpot_p99_s": tpot["p99"],
            "refused_per_s": float(came) if queued > QUEUE_LIMIT else 0.0,
            "tokens_per_s": float(self.trace.output_tokens[recent].sum()) / 30,
        }

    def _worker(self, g: int, now: int) -> dict[str, Any]:
        mine = self.run.worker == g
        begun, done = mine & (self.run.first_token_s <= now), mine & (self.run.finish_s <= now)
        kv = self.samples[now]["kv_tokens"]
        return {
            "name": self.names[g],
            "state": self.states[g],
            "running": int((begun & ~done).sum()),
            "waiting": 0,
            "kv_tokens": kv[g] if g < len(kv) else 0,
            "kv_capacity_tokens": CAPACITY_TOKENS,
            "kv_capacity_source": "kv_cache_size_tokens",
            "slots": SLOTS,
            "step_time_s": 0.020 + 1e-7 * max(kv),
            "speed": 1.0 + 0.1 * g,
            "requests_total": int(begun.sum()),
            "errors_total": 0,
            "retries_total": 0,
            "generated_tokens_total": int(self.trace.output_tokens[done].sum()),
            "prompt_tokens_total": int(self.trace.prompt_tokens[begun].sum()),
            "state_reason": "" if self.states[g] == "up" else "asked by the operator",
        }

    @staticmethod
    def _percentiles(values: np.ndarray) -> dict[str, Any]:
        if len(values) == 0:
            return {"p50": None, "p90": None, "p99": None, "count": 0}
        p50, p90, p99 = (float(q) for q in np.quantile(values, (0.5, 0.9, 0.99)))
        return {"p50": p50, "p90": p90, "p99": p99, "count": len(values)}

    def _histograms(self, done: np.ndarray) -> dict[str, Any]:
        times = self._times()
        of = {name: (times[name][done], BUCKETS_S) for name in times} | {
            "queue_s": (times["ttft_s"][done], BUCKETS_S),
            "prompt_tokens": (self.trace.prompt_tokens[done], BUCKETS_TOKENS),
            "output_tokens": (self.trace.output_tokens[done], BUCKETS_TOKENS),
        }
        return {name: _histogram(values, bounds) for name, (values, bounds) in of.items()}


def _histogram(values: np.ndarray, bounds: list[float]) -> dict[str, Any]:
    counts = np.bincount(np.searchsorted(bounds, values), minlength=len(bounds) + 1)
    return {"buckets": bounds, "counts": counts.tolist(), "sum": float(values.sum())}


def evaluated(control: ReplayControl) -> dict[str, Any]:
    """Every policy on the minute with the burst, as the router evaluates them: measured is what the whole run did."""
    rows = np.flatnonzero((control.trace.arrival_s >= 320) & (control.trace.arrival_s < 380))
    trace = control.trace.take(rows)
    work = trace.prompt_tokens, trace.output_tokens
    bound_s = barrier_time_bound(*work, workers=WORKERS, slots=SLOTS, step_time=STEP_TIME)
    scores = [_scored(name, trace, bound_s) | {"active": name == control.policy} for name in POLICIES]
    measured = _service(trace, control.run.first_token_s[rows], control.run.finish_s[rows])
    (active,) = (score for score in scores if score["active"])
    return {
        "state": "ready",
        "requests": len(trace),
        "window_s": trace.span_s,
        "evaluated_s": time.time(),
        "model": f"{WORKERS} ranks in lockstep of {SLOTS} slots, decode steps",
        "objective": "time of all steps",
        "unit": "s",
        "bound_method": "averaging over ranks, any routing and order",
        "active": control.policy,
        "rows": scores,
        "measured": measured,
        "model_error": {name: active[name] / value - 1 for name, value in measured.items()},
        "last_error": "",
    }


def _scored(policy: str, trace: Trace, bound_s: float) -> dict[str, Any]:
    run = run_of(policy, trace)
    return _service(trace, run.first_token_s, run.finish_s) | {
        "policy": policy,
        "idle_share": run.idle_s / (WORKERS * run.barrier_s),
        "value": run.barrier_s,
        "bound": bound_s,
        "gap": run.barrier_s / bound_s - 1,
    }


def _service(trace: Trace, first_token_s: np.ndarray, finish_s: np.ndarray) -> dict[str, float]:
    ttft_s, decode_s = first_token_s - trace.arrival_s, finish_s - first_token_s
    return {
        "ttft_p50_s": float(np.quantile(ttft_s, 0.5)),
        "ttft_p99_s": float(np.quantile(ttft_s, 0.99)),
        "tpot_s": float((decode_s / np.maximum(1, trace.output_tokens - 1)).mean()),
        "e2e_mean_s": float((ttft_s + decode_s).mean()),
        "throughput_tok_s": float(trace.output_tokens.sum() / (finish_s.max() - trace.arrival_s[0])),
    }
