"""What a request needs of a worker, priced: the one linear relaxation behind scheduling, capacity and admission.

A step with n sequences, b blocks held by them and k tokens computed lasts at least as long as its parts:

    T >= c * (x_slot * n/Bmax + x_memory * b/Mblocks + x_tokens * k/K) + sum over its sequences of their own cost

for any prices x >= 0 with x_slot + x_memory + x_tokens <= 1, because n <= Bmax, b <= Mblocks and k <= K (K is
max_num_batched_tokens). So a step can be divided among its sequences, and over its life request i (prompt s, output
o) is charged at least

    p_i(x) = own_i + c * (x_slot * slot_steps_i/Bmax + x_memory * block_steps_i/Mblocks + x_tokens * tokens_i/K)

where (each a lower bound in the model of `simulate/engine.py`):
- it computes its prompt in at least q = ceil(s/K) steps, k of the prompt's last k*K tokens still missing before the
  last k steps, and then one step for each of the other o-1 tokens, with s+1 .. s+o-1 tokens of context;
- slot_steps = q + o - 1; tokens = s + o - 1;
- block_steps = sum_{k<q} ceil((s - k*K)/size) + sum_{j=1..o-1} ceil((s+j)/size);
- own = e*s + sum_{j=1..o-1} min(a + b*(s+j), e*(s+j)). The second term of the minimum is there because a preempted
  request gets its next token from recomputing its s+j tokens instead of from a decode step. Everything else that
  preemption does adds work.
The charges of one step never exceed its length. Source: ours, after "Bounds of our own"; x are shadow prices.

Cached prefixes. Where the first h < s tokens of the prompt are in the prefix cache whenever the request needs them, it
computes s-h tokens instead of s: replace s by s-h in q, in tokens and wherever e is paid, also for recomputing; decode
steps still read all s+j tokens. Whole cached blocks, floor(h/size) of them, may be shared with other requests, so they
are not counted in its blocks; what it holds beyond them is its own, and these add up to at most Mblocks. If they are
not shared the request needs more than is charged: the charge stays a lower bound.

Layers of several kinds. Where a sequence of n tokens holds kept(n) KV tokens, in B(n) = ceil(kept(n)/size) blocks, and
a decode step reads read(n) of them (`fleet/token_curve.py`), the proof stands with B(n) for ceil(n/size) and
a + b*read(n) for a + b*n: it uses only that neither falls with n, so that a request which holds at least m tokens holds
at least B(m) blocks. Since ceil(x) >= x, the sums below take kept(n)/size for B(n), in closed form. read is concave, so
e*(m-h) - (a + b*read(m)) is convex in m and not positive at m = h: recomputing is cheaper up to one m and no further.
Of a cached prefix at most B(h) blocks are shared.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.fleet.token_curve import TokenCurve
from shadowprice.fleet.worker import ROUNDING, Worker

RESOURCES = ("slots", "memory", "token budget")


@dataclass(frozen=True)
class Work:
    """Least needs of each request, arrays of one length: own_s and alone_s in seconds, use[3, n] as shares.

    use[r] is the number of steps' worth of resource r (slots, KV blocks, token budget), each a fraction of the
    worker's whole, so that charge = own_s + fixed_s * prices @ use. alone_s: least time from admission to finish.
    """

    own_s: FloatArray
    use: FloatArray
    alone_s: FloatArray
    fixed_s: float

    def charge_s(self, prices: npt.ArrayLike) -> FloatArray:
        """Seconds of worker time each request is charged at `prices` (>= 0, summing to at most 1)."""
        x = np.asarray(prices, dtype=np.float64)
        if x.shape != (3,) or np.any(x < 0) or x.sum() > 1 + 1e-12:
            raise ValueError(f"prices are {x}; expected three numbers >= 0 that sum to at most 1")
        return self.own_s + self.fixed_s * (x @ self.use)


def work(
    prompt_tokens: npt.ArrayLike,
    output_tokens: npt.ArrayLike,
    worker: Worker,
    cached_tokens: npt.ArrayLike | None = None,
) -> Work:
    """Least needs of requests with these lengths on this worker; proof in the module's docstring.

    cached_tokens: leading prompt tokens that are always in the prefix cache, 0 <= cached < prompt; None: no cache.
    """
    s = np.asarray(prompt_tokens, dtype=np.int64)
    o = np.asarray(output_tokens, dtype=np.int64)
    h = np.zeros_like(s) if cached_tokens is None else np.asarray(cached_tokens, dtype=np.int64)
    time, budget = worker.step_time, worker.max_num_batched_tokens
    chunks = -(-(s - h) // budget)
    decodes = o - 1
    own_s = time.per_prefill_token_s * (s - h) + _decode_cost_s(s, h, decodes, worker)
    steps = chunks + decodes
    if worker.kept is None:
        block_steps = _prefill_block_steps(s, chunks, worker) + _decode_block_steps(s, decodes, worker)
        own_block_steps = block_steps - h // worker.block_size * steps
    else:
        block_steps = _kept_block_steps(s, chunks, decodes, worker, worker.kept)
        own_block_steps = np.maximum(block_steps - worker.blocks_of(h) * steps, 0.0)
    use = np.stack(
        [
            steps / worker.max_num_seqs,
            own_block_steps / worker.kv_blocks,
            (s - h + decodes) / budget,
        ]
    )
    return Work(own_s, use, time.fixed_s * steps + own_s, time.fixed_s)


def priced_work(prompt_tokens: npt.ArrayLike, output_tokens: npt.ArrayLike, worker: Worker) -> FloatArray:
    """Each request's own cost plus that of its scarcest resource [s of worker time]: the order of `priced_work`."""
    needs = work(prompt_tokens, output_tokens, worker)
    return needs.own_s + needs.fixed_s * needs.use.max(axis=0)


def binding_prices(needs: Work) -> FloatArray:
    """The prices under which these requests together need most: all of the weight on the scarcest resource."""
    prices = np.zeros(3)
    prices[np.argmax(needs.use.mean(axis=1))] = 1.0
    return prices


def stable_rate_per_s(needs: Work) -> float:
    """Arrivals per second beyond which no policy keeps one worker's queue bounded: 1 / max_x E[p(x)].

    E[p(x)] is linear in x, so its maximum is at a vertex: all weight on one resource.
    """
    return float(1.0 / needs.charge_s(binding_prices(needs)).mean())


def _decode_cost_s(s: IntArray, h: IntArray, decodes: IntArray, worker: Worker) -> FloatArray:
    """sum_{j=1..decodes} min(a + b*(s+j), e*(s-h+j)), the minimum resolved by the j at which the two cross."""
    time = worker.step_time
    a, b, e = time.per_sequence_s, time.per_kv_token_s, time.per_prefill_token_s
    computed = s - h
    if worker.read is not None:
        recomputed = np.clip(np.floor(_crossing(h, worker, worker.read)) - s, 0, decodes)
        decoded = worker.read.sum_to(s + decodes) - worker.read.sum_to(s + recomputed)
        return a * (decodes - recomputed) + b * decoded + e * _rising(computed, recomputed)
    crossing = (a + b * h) / (e - b) if e > b else np.full(len(s), np.inf)  # recomputing is cheaper up to this s-h+j
    recomputed = np.clip(np.floor(np.minimum(crossing, 2.0**53)) - computed, 0, decodes)
    decoded_s = a * (decodes - recomputed) + b * (_rising(s, decodes) - _rising(s, recomputed))
    return decoded_s + e * _rising(computed, recomputed)


def _crossing(h: IntArray, worker: Worker, read: TokenCurve) -> FloatArray:
    """Up to this m e*(m-h) < a + b*read(m): the zero of a convex function, linear within the window and beyond."""
    time = worker.step_time
    a, b, e = time.per_sequence_s, time.per_kv_token_s, time.per_prefill_token_s
    inside, beyond = e - b * (read.per_token + read.per_window_token), e - b * read.per_token
    paid = e * h + a + b * read.constant
    with np.errstate(divide="ignore", invalid="ignore"):
        within = paid / inside if inside > 0 else np.full(len(h), np.inf)
        after = (paid + b * read.per_window_token * read.window) / beyond if beyond > 0 else np.full(len(h), np.inf)
    return np.minimum(np.where(within <= read.window, within, after), 2.0**53)


def _rising(s: IntArray, n: IntArray | FloatArray) -> FloatArray:
    """sum_{j=1..n} (s + j)."""
    return np.asarray(s * n + n * (n + 1) / 2.0, dtype=np.float64)


def _decode_block_steps(s: IntArray, decodes: IntArray, worker: Worker) -> FloatArray:
    """sum_{j=1..decodes} ceil((s+j)/size)."""
    return _ceil_sum(s + decodes, worker.block_size) - _ceil_sum(s, worker.block_size)


def _ceil_sum(n: IntArray, size: int) -> FloatArray:
    """sum_{m=1..n} ceil(m/size)."""
    full, rest = n // size, n % size
    return size * full * (full + 1) / 2.0 + rest * (full + 1.0)


def _kept_block_steps(s: IntArray, chunks: IntArray, decodes: IntArray, worker: Worker, kept: TokenCurve) -> FloatArray:
    """sum_{k<chunks} kept(s - k*K)/size + sum_{j=1..decodes} kept(s+j)/size, less what rounding may be."""
    total = kept.sum_to(s + decodes) - kept.sum_to(s)
    for k in range(int(chunks.max(initial=0))):
        here = k < chunks
        total[here] += kept.of(s[here] - k * worker.max_num_batched_tokens)
    return np.maximum(total / worker.block_size - ROUNDING * (chunks + decodes), 0.0)


def _prefill_block_steps(s: IntArray, chunks: IntArray, worker: Worker) -> FloatArray:
    """sum_{k<chunks} ceil((s - k*K)/size): blocks held in the prompt's own steps, whole chunks last."""
    total = np.zeros(len(s))
    for k in range(int(chunks.max(initial=0))):
        here = k < chunks
        total[here] += -(-(s[here] - k * worker.max_num_batched_tokens) // worker.block_size)
    return total
