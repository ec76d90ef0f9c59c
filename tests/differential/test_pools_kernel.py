"""The compiled pools and links against their plain-Python twin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pools_twin import serve_apart, serve_pool

from shadowprice.disaggregation import Link
from shadowprice.fleet import StepTime, Worker
from shadowprice.scheduling.policies import fcfs
from shadowprice.simulate.disaggregated import simulate_apart, simulate_together
from shadowprice.workload import Trace


def some_trace(rng: np.random.Generator) -> Trace:
    n = int(rng.integers(1, 25))
    gaps = rng.exponential(float(rng.choice([0.01, 1.0, 20.0])), n) * (rng.random(n) < 0.9)
    return Trace(np.cumsum(gaps), rng.integers(1, 30, n), rng.integers(1, 9, n))


def some_worker(rng: np.random.Generator) -> Worker:
    """Tight or loose; times that are exact in binary, so that sums in another order are the same."""
    block = int(rng.integers(1, 5))
    return Worker(
        StepTime(1.0, 0.25 * int(rng.integers(0, 3)), 0.0078125 * int(rng.integers(0, 3)), 0.0625),
        max_num_seqs=int(rng.integers(1, 8)),
        max_num_batched_tokens=int(rng.integers(4, 60)),
        kv_tokens=int(block * rng.integers(40 // block + 1, 200)),
        block_size=block,
        async_scheduling=bool(rng.random() < 0.5),
    )


@given(seed=st.integers(0, 10**9))
@settings(max_examples=150, deadline=None)
def test_together_is_the_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    trace, worker, workers = some_trace(rng), some_worker(rng), int(rng.integers(1, 4))
    run = simulate_together(trace, worker, workers, fcfs())
    none = [0] * len(trace)
    lengths = (trace.prompt_tokens.tolist(), trace.output_tokens.tolist())
    twin = serve_pool(trace.arrival_s.tolist(), *lengths, worker, workers, none, none)
    assert run.decode.worker.tolist() == twin.worker
    assert run.decode.preemptions.tolist() == twin.preemptions
    np.testing.assert_allclose(run.first_token_s, twin.first_token_s, rtol=1e-12)
    np.testing.assert_allclose(run.finish_s, twin.finish_s, rtol=1e-12)
    np.testing.assert_allclose(run.decode.scheduled_s, twin.scheduled_s, rtol=1e-12)


@given(seed=st.integers(0, 10**9))
@settings(max_examples=150, deadline=None)
def test_apart_is_the_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    trace, prefill, decode = some_trace(rng), some_worker(rng), some_worker(rng)
    x, y = (int(n) for n in rng.integers(1, 4, 2))
    link = None
    if rng.random() < 0.8:
        link = Link(1.0, float(2.0 ** rng.integers(-1, 5)), float(rng.choice([0.0, 0.5])), int(2 ** rng.integers(0, 4)))
    seconds = None if link is None else link.transfer_s(trace.prompt_tokens).tolist()
    first_token = "prefill" if rng.random() < 0.5 else "decode"
    run = simulate_apart(trace, (prefill, x), (decode, y), fcfs(), link, first_token=first_token)  # type: ignore[arg-type]
    twin_first_s, twin_finish_s = serve_apart(
        trace.arrival_s.tolist(), trace.prompt_tokens.tolist(), trace.output_tokens.tolist(), prefill, x, decode, y,
        seconds, 0.0 if link is None else link.latency_s, 1 if link is None else link.layers, first_token,
    )  # fmt: skip
    np.testing.assert_allclose(run.first_token_s, twin_first_s, rtol=1e-12)
    np.testing.assert_allclose(run.finish_s, twin_finish_s, rtol=1e-12)


def test_preemption_in_the_decode_pool_recomputes_there() -> None:
    """Two that both outgrow the memory: one loses its KV, sent from elsewhere, and computes it again."""
    worker = Worker(StepTime(1.0, 0.0, 0.0, 0.5), max_num_seqs=2, kv_tokens=32, block_size=4, async_scheduling=False)
    trace = Trace(np.zeros(2), np.array([12, 12]), np.array([12, 12]))
    run = simulate_apart(trace, (worker, 2), (worker, 1), fcfs())
    assert run.decode.preemptions.sum() >= 1 and run.prefill is not None and run.prefill.preemptions.sum() == 0
    assert run.finish_s[0] == pytest.approx(1 + 6 + 11)  # its prompt, then eleven steps of a second
