"""Attacks on goodput and on the rates of pools. All without statistics: the time that a run takes against its bound."""

from dataclasses import replace

import numpy as np

from shadowprice.disaggregation import Link, PoolsProblem, Slo, goodput_bound, pool_rates, split_bound_per_s
from shadowprice.disaggregation.optimum import decode_roots, split_rate_per_s
from shadowprice.fleet.work import work
from shadowprice.fleet.worker import Worker
from shadowprice.scheduling.policies import POLICIES
from shadowprice.simulate.disaggregated import PoolsRun, simulate_apart, simulate_together
from shadowprice.workload import Trace
from tests.attack.draw import RANKED, Draw, arrivals, step_time, worker_for
from tests.attack.search import Attack


def _law(draw: Draw) -> tuple[Trace, Worker]:
    """Copies of one to three requests, and a worker."""
    n = draw.whole("law", 1, 3)
    most = draw.pick("longest", (2, 12, 60))
    prompt, output = (draw.wholes(name, n, 1, most) for name in ("prompt", "output"))
    worker = worker_for(draw, prompt, output)
    rows = np.tile(np.arange(n), draw.pick("copies", (1, 3, 15)))
    alone_s = float(work(prompt, output, worker).alone_s.mean())
    return Trace(arrivals(draw, len(rows), alone_s), prompt[rows], output[rows]), worker


def _slo(draw: Draw, run: PoolsRun) -> Slo | None:
    """Limits that some of the run's requests are within, and the share that is: the run attains it exactly."""
    known = run.tpot_s[~np.isnan(run.tpot_s)]
    if len(known) == 0 or known.min() <= 0:  # nobody has a TPOT, or it is below what the clock resolves
        return None
    tpot_s = float(np.quantile(known, draw.share("TPOT limit"))) * (1 + 1e-9)
    ttft_s = float(np.quantile(run.ttft_s, draw.share("TTFT limit"))) * (1 + 1e-9) if draw.maybe("TTFT", 0.5) else None
    slo = Slo(tpot_s=tpot_s) if ttft_s is None else Slo(ttft_s, tpot_s)
    inside = float(slo.met_by(run.ttft_s, run.tpot_s).mean())
    return replace(slo, attainment=inside) if inside > 0 else None


def _apart(draw: Draw, trace: Trace, worker: Worker, link: Link | None) -> tuple[PoolsRun, int, int]:
    x, y = draw.whole("prefill workers", 1, 3), draw.whole("decode workers", 1, 3)
    first = draw.pick("first token", ("prefill", "decode"))
    policy = POLICIES[draw.pick("policy", RANKED)]()
    return simulate_apart(trace, (worker, x), (worker, y), policy, link, first_token=first), x, y  # type: ignore[arg-type]


def _link(draw: Draw, trace: Trace, worker: Worker) -> Link | None:
    """None, or one whose transfers take about as long as steps do, or much longer."""
    if draw.maybe("no link", 0.2):
        return None
    scale_s = worker.step_time.seconds(1, float(trace.prompt_tokens.mean()), float(trace.prompt_tokens.mean()))
    return Link(1.0, draw.power("bandwidth", -3, 1) * float(trace.prompt_tokens.mean()) / scale_s, 0.0, 1)


def goodput(draw: Draw) -> float | None:
    """Seconds of all workers that a run takes, over those that the bound allows at the share that it attains."""
    trace, worker = _law(draw)
    chunked = replace(worker, max_num_batched_tokens=draw.whole("chunk", 1, worker.max_num_batched_tokens))
    if draw.maybe("apart", 0.5):
        run, x, y = _apart(draw, trace, worker, None)
        assert run.prefill is not None
        busy_s, workers = float(run.prefill.busy_s.sum() + run.decode.busy_s.sum()), x + y
    else:
        workers = draw.whole("workers", 1, 3)
        policy = POLICIES[draw.pick("policy", RANKED)]()
        chunked = chunked if chunked.max_num_batched_tokens >= worker.max_num_seqs else worker
        run = simulate_together(trace, chunked, workers, policy)  # type: ignore[arg-type]
        busy_s = float(run.decode.busy_s.sum())
    slo = _slo(draw, run)
    if slo is None:
        return None
    lengths = (trace.prompt_tokens, trace.output_tokens)
    bound = goodput_bound(PoolsProblem(*lengths, worker, worker, worker, workers, None, slo)).rate_per_s
    return busy_s / workers * bound / len(trace)


def goodput_of_a_split(draw: Draw) -> float | None:
    """The longest that a pool or the links are busy in a run, over what the split's bound allows; links may bind."""
    trace, worker = _law(draw)
    link = _link(draw, trace, worker)
    run, x, y = _apart(draw, trace, worker, link)
    slo = _slo(draw, run)
    if slo is None:
        return None
    lengths = (trace.prompt_tokens, trace.output_tokens)
    problem = PoolsProblem(*lengths, worker, worker, worker, x + y, link, slo)
    return _longest_s(run, trace, x, y, link) * split_bound_per_s(problem, x) / len(trace)


def rate_of_a_split(draw: Draw) -> float | None:
    """The same for the stable rate of a split, and of the workers that do both."""
    trace, worker = _law(draw)
    link = _link(draw, trace, worker)
    run, x, y = _apart(draw, trace, worker, link)
    rates = pool_rates(PoolsProblem(trace.prompt_tokens, trace.output_tokens, worker, worker, worker, x + y, link))
    apart = _longest_s(run, trace, x, y, link) * split_rate_per_s(rates, x, y) / len(trace)
    assert run.prefill is not None
    busy_s = float(run.prefill.busy_s.sum() + run.decode.busy_s.sum())
    return min(apart, busy_s * rates.together_per_s / len(trace))


def _longest_s(run: PoolsRun, trace: Trace, x: int, y: int, link: Link | None) -> float:
    """Mean seconds in steps of a pool's workers, and of the links in use by what the run says: the longest of them."""
    assert run.prefill is not None
    pools_s = max(float(run.prefill.busy_s.sum()) / x, float(run.decode.busy_s.sum()) / y)
    if link is None or len(run.decoded) == 0:
        return pools_s
    # while a link sends, some prompt that it carries is done and not there yet: the time that such intervals cover
    busy_s = 0.0
    for g in range(x):
        mine = run.prefill.worker[run.decoded] == g
        begin_s, end_s = run.prefill.finish_s[run.decoded][mine], run.ready_s[mine]
        order = np.argsort(begin_s)
        until_s = np.maximum.accumulate(end_s[order])
        before_s = np.concatenate([[-np.inf], until_s[:-1]])
        busy_s += float(np.maximum(until_s - np.maximum(begin_s[order], before_s), 0.0).sum())
    return max(pools_s, busy_s / x * (1 + 1e-9))


def roots_of_decoding(draw: Draw) -> float | None:
    """The sum of the roots of what the further tokens cost, over the integral below it; at any magnitudes."""
    prompt, output = draw.wholes("prompt", 1, 1, 3000), draw.wholes("output", 1, 2, 300)
    drawn = step_time(draw)
    context = prompt[0] + np.arange(1, output[0])
    decode_s = drawn.per_sequence_s + drawn.per_kv_token_s * context
    exact = float(np.sqrt(np.minimum(decode_s, drawn.per_prefill_token_s * context)).sum())
    root = float(decode_roots(prompt, output, Worker(drawn))[0])
    return exact / root if root > 0 else None


ATTACKS: tuple[Attack, ...] = (goodput, goodput_of_a_split, rate_of_a_split, roots_of_decoding)
