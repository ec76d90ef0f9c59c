"""The routing policies again, as a user would write them: plain Python, one method."""

from collections.abc import Callable

import numpy as np

from shadowprice.arrays import IntArray
from shadowprice.routing.surface import Pending, Workers


class InOrder:
    """One request at a time, in order of arrival; subclasses of nothing: `pick` is a function."""

    def __init__(self, pick: Callable[["InOrder", Pending, int, list[int]], int]) -> None:
        self.pick = pick
        self.turn = 0
        self.rng = np.random.default_rng(0)
        self.published_s = -np.inf
        self.held: list[set[int]] = []
        self.tree_tokens: list[int] = []

    def assign(self, pending: Pending, workers: Workers, now_s: float) -> IntArray:
        self.load = (workers.held_tokens + workers.waiting_tokens).astype(float)
        self.count = (workers.running + workers.waiting).tolist()
        room = (workers.slots - workers.running - workers.waiting).tolist()
        if now_s - self.published_s >= 0.1:
            self.published_s = now_s
            self.published = (4 * workers.waiting + workers.running).tolist()
        answer = np.full(len(pending), -1, np.int64)
        for i in range(len(pending)):
            able = [g for g in range(len(workers)) if not pending.may_wait or room[g] > 0]
            if not able:
                break
            g = self.pick(self, pending, i, able)
            answer[i] = g
            self.load[g] += pending.prompt_tokens[i]
            self.count[g] += 1
            room[g] -= 1
        return answer


def round_robin(policy: InOrder, pending: Pending, i: int, able: list[int]) -> int:
    g = min(able, key=lambda g: (g - policy.turn) % len(policy.count))
    policy.turn = (g + 1) % len(policy.count)
    return g


def random(policy: InOrder, pending: Pending, i: int, able: list[int]) -> int:
    return able[int(policy.rng.random() * len(able))]


def power_of_two(policy: InOrder, pending: Pending, i: int, able: list[int]) -> int:
    first = int(policy.rng.random() * len(able))
    if len(able) == 1:
        return able[0]
    second = (first + 1 + int(policy.rng.random() * (len(able) - 1))) % len(able)
    return min((able[first], able[second]), key=lambda g: policy.count[g])


def join_shortest_queue(policy: InOrder, pending: Pending, i: int, able: list[int]) -> int:
    fewest = min(policy.count[g] for g in able)
    ties = [g for g in able if policy.count[g] == fewest]
    return ties[int(policy.rng.random() * len(ties))]


def least_kv(policy: InOrder, pending: Pending, i: int, able: list[int]) -> int:
    return min(able, key=lambda g: policy.load[g])


def vllm_internal(policy: InOrder, pending: Pending, i: int, able: list[int]) -> int:
    g = min(able, key=lambda g: policy.published[g])
    policy.published[g] += 4
    return g


def cache_aware(policy: InOrder, pending: Pending, i: int, able: list[int]) -> int:
    if not policy.held:
        policy.held = [set() for _ in policy.count]
        policy.tree_tokens = [0 for _ in policy.count]
    prompt = int(pending.prompt_tokens[i])
    blocks = [] if pending.prefix is None else pending.prefix[i].tolist()

    def match(g: int) -> int:
        n = 0
        while n < len(blocks) and blocks[n] in policy.held[g]:
            n += 1
        return min(n * pending.prefix_block_tokens, prompt - 1)

    fewest = min(able, key=lambda g: policy.count[g])
    longest = max(able, key=match)
    most, least = max(policy.count), policy.count[fewest]
    if most - least > 64 and most > 1.5 * least:
        g = fewest
    elif match(longest) > 0.3 * prompt:
        g = longest
    else:
        g = min(able, key=lambda g: policy.tree_tokens[g])
    policy.tree_tokens[g] += prompt - (match(g) if blocks else 0)
    policy.held[g].update(blocks)
    return g


HEURISTICS = {
    pick.__name__: pick
    for pick in (round_robin, random, power_of_two, join_shortest_queue, least_kv, vllm_internal, cache_aware)
}


class FillHoles:
    """Ours from a central queue: the deepest hole below the common level gets the request that fits it best."""

    def __init__(self, most_passes: int) -> None:
        self.most_passes = most_passes
        self.recent: list[int] = []
        self.mean = 0.0
        self.tabulated = 0

    def assign(self, pending: Pending, workers: Workers, now_s: float) -> IntArray:
        new = len(self.recent) - self.tabulated
        if new > 0 and (min(len(self.recent), 1024) <= 64 or new >= 16):
            self.mean, self.tabulated = float(np.mean(self.recent[-1024:])), len(self.recent)
        load = (workers.held_tokens + workers.waiting_tokens).astype(float)
        room = (workers.slots - workers.running - workers.waiting).tolist()
        left = list(range(len(pending)))
        answer = np.full(len(pending), -1, np.int64)
        mean = self.mean or float(np.mean(pending.prompt_tokens))
        picked: list[int] = []
        while left and sum(room) > 0:
            level = (load.sum() + min(sum(room), len(left)) * mean) / len(load)
            top = load.max()
            level += 0.2 * max(top - level, 0.0)
            able = [g for g in range(len(load)) if room[g] > 0]

            def misfit(i: int, g: int, level: float = level, top: float = top) -> float:
                prompt = float(pending.prompt_tokens[i])
                return abs(prompt - (level - load[g])) + max(prompt - (top - load[g]), 0.0)

            i, passes = left[0], 0 if pending.passes is None else int(pending.passes[left[0]])
            if passes + sum(1 for p in picked if p > i) >= self.most_passes:
                g = min(able, key=lambda g: misfit(i, g))
            else:
                g = min(able, key=lambda g: load[g])
                i = min(left, key=lambda i: misfit(i, g))
            answer[i] = g
            picked.append(i)
            left.remove(i)
            room[g] -= 1
            load[g] += pending.prompt_tokens[i]
            self.recent.append(int(pending.prompt_tokens[i]))
        return answer
