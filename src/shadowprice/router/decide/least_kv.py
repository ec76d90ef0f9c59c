"""The plain rule that decides while what is compiled is not there yet."""

import numpy as np

from shadowprice.arrays import IntArray
from shadowprice.routing.plain import Plain
from shadowprice.routing.surface import Pending, Workers


class PlainLeastKv:
    """Each request, in order, to the worker with the fewest KV tokens for its speed: as the policy least_kv does."""

    def assign(self, pending: Pending, workers: Workers, now_s: float) -> IntArray:
        """The worker of each pending request, -1 to keep it in the queue."""
        speed = [1.0] * len(workers) if workers.speed is None else workers.speed.tolist()
        held = (workers.held_tokens + workers.waiting_tokens).tolist()
        level = [tokens / fast for tokens, fast in zip(held, speed, strict=True)]
        room = (workers.slots - workers.running - workers.waiting).tolist()
        able = list(range(len(workers))) if workers.open is None else np.flatnonzero(workers.open).tolist()
        answer = []
        for prompt in pending.prompt_tokens.tolist():
            free = [g for g in able if room[g] > 0] if pending.may_wait else able
            g = min(free, key=level.__getitem__) if free else -1
            answer.append(g)
            if g >= 0:
                level[g] += prompt / speed[g]
                room[g] -= 1
        return np.array(answer, np.int64)


PLAIN_LEAST_KV = Plain("least_kv, not compiled", PlainLeastKv())
