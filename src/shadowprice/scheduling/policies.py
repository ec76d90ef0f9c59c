"""The built-in policies: production orders, principled ones, and ours. To add one, write its key and its constructor.

Every one but `vtc` is a `Ranked` (`ranked.py`). Fairness between tenants needs a memory: `fairness.py`. Packages of
others add theirs under the entry point `shadowprice.scheduling`.
"""

from math import inf

import numpy as np

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.fleet.work import priced_work as priced_work_s
from shadowprice.fleet.work import work
from shadowprice.fleet.worker import Worker
from shadowprice.plugins import Registry
from shadowprice.scheduling.fairness import vtc
from shadowprice.scheduling.ranked import Gate, Levels, Ranked, Victim, arrival
from shadowprice.scheduling.surface import Needs, Requests, SchedulingPolicy

LENGTHS = Needs(lengths=True)
DEFAULT = "fcfs"  # what engines do unless told otherwise


def _priority(requests: Requests, worker: Worker) -> FloatArray:
    return requests.priority.astype(np.float64)


def _prompt(requests: Requests, worker: Worker) -> FloatArray:
    return requests.prompt_tokens.astype(np.float64)


def _output(requests: Requests, worker: Worker) -> FloatArray:
    return requests.predicted_output.astype(np.float64)


def _volume(requests: Requests, worker: Worker) -> FloatArray:
    prompt = requests.prompt_tokens.astype(np.float64)
    output = requests.predicted_output.astype(np.float64)
    return prompt * output + output * (output + 1) / 2


def _work(requests: Requests, worker: Worker) -> FloatArray:
    return priced_work_s(requests.prompt_tokens, requests.predicted_output, worker)


def _slack(requests: Requests, worker: Worker) -> FloatArray:
    return requests.due_s - work(requests.prompt_tokens, requests.predicted_output, worker).alone_s


def _made(requests: Requests, worker: Worker) -> FloatArray:
    return requests.generated_tokens.astype(np.float64)


def fcfs() -> Ranked:
    """First come first served, as vLLM's default policy."""
    return Ranked("fcfs", arrival, words="first come first served")


def priority() -> Ranked:
    """Smallest `priority` first and the least urgent preempted, as vLLM's `--scheduling-policy priority`."""
    return Ranked("priority", _priority, victim=Victim.WORST_KEY, needs=Needs(priorities=True))


def shortest_prompt(max_wait_s: float = inf) -> Ranked:
    """Shortest prompt first; needs no forecast."""
    return Ranked("shortest_prompt", _prompt, max_wait_s=max_wait_s, words="the shortest prompt first")


def shortest_output(max_wait_s: float = inf) -> Ranked:
    """Shortest forecast output first."""
    return Ranked("shortest_output", _output, max_wait_s=max_wait_s, needs=LENGTHS, words="the shortest output first")


def smallest_volume(max_wait_s: float = inf) -> Ranked:
    """Smallest memory-time volume s*o + o(o+1)/2 first (2606.22327: 1 + 2/(1-alpha) competitive, all at 0)."""
    return Ranked(
        "smallest_volume",
        _volume,
        max_wait_s=max_wait_s,
        needs=LENGTHS,
        words="the smallest memory-time volume first",
    )


def mc_sf(max_wait_s: float = inf) -> Ranked:
    """MC-SF: shortest forecast output first while the look-ahead memory check holds (2502.07115, section 4)."""
    return Ranked(
        "mc_sf",
        _output,
        Gate.LOOK_AHEAD,
        max_wait_s=max_wait_s,
        needs=LENGTHS,
        words="the shortest output first under the look-ahead memory check (MC-SF)",
    )


def mc_benchmark() -> Ranked:
    """MC-Benchmark: the look-ahead memory check, first come first served (2502.07115)."""
    return Ranked("mc_benchmark", arrival, Gate.LOOK_AHEAD, needs=LENGTHS)


def protect_greedy(alpha: float = 0.2) -> Ranked:
    """alpha-protection greedy: FCFS while (1 - alpha) of the memory suffices; on overflow all are cleared."""
    return Ranked("protect_greedy", arrival, Gate.PROTECT, Victim.CLEAR, alpha=alpha)


def protect_clearing(alpha: float = 0.2, beta: float = 0.2) -> Ranked:
    """alpha-protection, beta-clearing: as `protect_greedy`, but each is cleared with probability beta."""
    return Ranked("protect_clearing", arrival, Gate.PROTECT, Victim.CLEAR, alpha=alpha, beta=beta)


def priced_work(max_wait_s: float = inf) -> Ranked:
    """Ours: the least shadow-priced work first, e*s + a*o + b*vol + c*max(o/Bmax, vol/M), with the look-ahead check.

    Smith's rule on the charges of `fleet/work.py`: each request costs what the slot-steps, the KV-token-steps and
    the tokens it needs are worth at the prices of the binding resource.
    """
    return Ranked(
        "priced_work",
        _work,
        Gate.LOOK_AHEAD,
        max_wait_s=max_wait_s,
        needs=LENGTHS,
        words="the least priced work first",
    )


def least_slack(max_wait_s: float = inf) -> Ranked:
    """Least slack first: who must start the soonest to meet its `deadline_s`, if it then ran alone.

    Who has no deadline comes last, in order of arrival. Guarantee: where all take equally long, are there from the
    start and one runs at a time, it is earliest deadline first and makes the largest lateness as small as can be
    (Jackson 1955). Else none.
    """
    return Ranked(
        "least_slack",
        _slack,
        max_wait_s=max_wait_s,
        needs=Needs(lengths=True, deadlines=True),
        words="the least slack before the deadline first",
    )


def least_attained(quantum: int = 64, max_wait_s: float = inf) -> Ranked:
    """Least attained service: fewest tokens made first, in whole quanta, and who runs gives way to who made fewer.

    Needs no forecast. Where all are there from the start and one runs at a time, they finish in the order of the
    quanta that they need. Without the cost of computing again what was lost, serving the least attained minimises the
    mean when outputs have a falling hazard (Righter and Shanthikumar 1989); with it nothing is proved, and it can be
    far worse than first come first served.
    """
    return Ranked(
        "least_attained",
        _made,
        victim=Victim.WORST_KEY,
        max_wait_s=max_wait_s,
        levels=Levels(quantum),
        gives_way=True,
        needs=Needs(progress=True),
    )


def multi_level_feedback(quantum: int = 64, max_wait_s: float = inf) -> Ranked:
    """Multi-level feedback: everyone starts on the first level and sinks one with each quantum used up, which doubles.

    Who is on a better level goes first, and who runs gives way to them. Needs no forecast. Where all are there from the
    start and memory suffices, nobody gives way more than log2(o/quantum + 1) times, o its output. No bound on the mean.
    """
    return Ranked(
        "multi_level_feedback",
        _made,
        victim=Victim.WORST_KEY,
        max_wait_s=max_wait_s,
        levels=Levels(quantum, growth=2.0),
        gives_way=True,
        needs=Needs(progress=True),
    )


def shortest_remaining_work(step: int = 16, max_wait_s: float = inf) -> Ranked:
    """The least priced work left first, and who runs gives way where that pays for what it then computes again.

    A request that waits with g tokens made is priced as one of s+g prompt and o-g output tokens, R; one that runs by
    R - 2e(s+g), at its level's end and at most as while it waits: what is left without what giving way would cost.
    Only the two are weighed: what is computed again delays all others too, so that with a long queue `priced_work` does
    better.

    Guarantee, where one runs at a time, forecasts are exact, a context is computed in one step and decoding a token
    costs no more than computing all before it: giving way to a request ends the two with a smaller sum of finishing
    times than letting the first end before it.

    Proof. With rem left of the first, R - rem <= e(s+g) to compute its context again, and w the newcomer's time: one
    after the other they end after rem and rem + w, the other way round after w and w + R. The second sum is smaller if
    w < 2 rem - R, and 2 rem - R >= R - 2e(s+g). Within a level rem only falls and s+g only grows, so its end is the
    least of it.
    """

    def anew_s(requests: Requests, made: IntArray, worker: Worker) -> FloatArray:
        left = np.maximum(requests.predicted_output - made, 1)
        return priced_work_s(requests.prompt_tokens + made, left, worker)

    def left_s(requests: Requests, worker: Worker) -> FloatArray:
        waits_s, at_end = anew_s(requests, requests.generated_tokens, worker), requests.generated_tokens + step - 1
        again_s = worker.step_time.per_prefill_token_s * (requests.prompt_tokens + at_end)
        runs_s = np.minimum(waits_s, anew_s(requests, at_end, worker) - 2 * again_s)
        return np.where(requests.computed_tokens > 0, runs_s, waits_s)

    return Ranked(
        "shortest_remaining_work",
        left_s,
        Gate.LOOK_AHEAD,
        Victim.WORST_KEY,
        max_wait_s,
        levels=Levels(step),
        gives_way=True,
        needs=Needs(lengths=True, progress=True),
    )


POLICIES: Registry[SchedulingPolicy] = Registry(
    "shadowprice.scheduling",
    {
        policy.__name__: policy
        for policy in (
            fcfs,
            priority,
            shortest_prompt,
            shortest_output,
            smallest_volume,
            mc_sf,
            mc_benchmark,
            protect_greedy,
            protect_clearing,
            priced_work,
            shortest_remaining_work,
            least_slack,
            least_attained,
            multi_level_feedback,
            vtc,
        )
    },
)
