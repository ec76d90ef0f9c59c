# mypy: allow-untyped-defs, allow-untyped-calls
"""Compiled parts of the pool simulator: a pool that serves one table of requests, and the link out of a worker."""

import numpy as np

from shadowprice.kernels import njit
from shadowprice.simulate._cluster_kernel import hand_over
from shadowprice.simulate._engine_kernel import advance

NO_RANKING = np.zeros(0, np.int64)
# One row per transfer: from which worker, when its KV was computed, how long the link takes, and when it is there.
TRANSFER = np.dtype(
    [("worker", np.int64), *((name, np.float64) for name in ["start_s", "end_s", "transfer_s", "ready_s"])]
)


@njit(cache=True)
def tokens_at(requests, rules, run):
    """KV tokens held by a worker's running requests and context tokens of its waiting ones."""
    tokens = (rules.kv_blocks - run.free_blocks) * rules.block_size + run.waiting_tokens
    r = run.following
    while r >= 0:  # handed over, but not yet seen by the engine
        tokens += requests[r].prompt + requests[r].generated
        r = requests[r].following
    return tokens


@njit(cache=True)
def serve_pool(engines, rng):
    """Serve the table to its end; each request goes on arrival to the worker with the fewest tokens, ties to the first.

    False when a worker's requests wait for ever.
    """
    requests, rules, runs = engines.requests, engines.rules, engines.runs
    for r in range(len(requests)):
        now_s = requests[r].arrival_s
        chosen = 0
        fewest = np.int64(1) << 62
        for g in range(len(runs)):
            advance(engines, g, NO_RANKING, -1, rng, now_s)
            tokens = tokens_at(requests, rules, runs[g])
            if tokens < fewest:
                chosen, fewest = g, tokens
        hand_over(requests, runs, engines.last, r, chosen)
    for g in range(len(runs)):
        advance(engines, g, NO_RANKING, -1, rng, np.inf)
        if runs[g].n_waiting > 0:
            return False
    return True


@njit(cache=True)
def send(transfers, latency_s, layers, links):
    """Fill `ready_s`, when each request's KV has arrived: links serve in this order, one transfer after another.

    The prompt is computed from start_s to end_s, one layer's share after another; a layer is sent when it is there. So
    with a free link it is the last job's end in a two-machine flow shop of `layers` equal parts.
    """
    free_s = np.zeros(links)
    for i in range(len(transfers)):
        one = transfers[i]
        first_layer_s = one.start_s + (one.end_s - one.start_s) / layers
        sent_s = max(one.end_s + one.transfer_s / layers, max(first_layer_s, free_s[one.worker]) + one.transfer_s)
        free_s[one.worker] = sent_s
        one.ready_s = sent_s + latency_s
