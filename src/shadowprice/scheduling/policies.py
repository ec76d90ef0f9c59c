"""The built-in policies: production orders, principled ones, and ours. To add one, write its key and its constructor.

Every one but `vtc` is a `Ranked` (`ranked.py`). Fairness between tenants needs a memory: `fairness.py`. Packages of
others add theirs under the entry point `shadowprice.scheduling`.
"""

from math import inf

import numpy as np

from shadowprice.arrays import FloatArray
from shadowprice.fleet.work import priced_work as priced_work_s
from shadowprice.fleet.worker import Worker
from shadowprice.plugins import Registry
from shadowprice.scheduling.fairness import vtc
from shadowprice.scheduling.ranked import Gate, Ranked, Victim, arrival
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
            vtc,
        )
    },
)
