"""Random schedules of the engine model, with cached prefixes: what a step may do, and how long all of them last."""

import numpy as np

from shadowprice.fleet import Worker


def busy_time_s(prompt, output, cached, worker: Worker, rng: np.random.Generator) -> float:
    """Time in steps of some schedule that finishes all: random admissions, chunks, preemptions, in the engine model.

    A cached prefix need not be computed, also after a preemption, and its whole blocks are held once for all: the most
    generous sharing there is.
    """
    n, size = len(prompt), worker.block_size
    computed, generated = cached.copy(), np.zeros(n, int)
    shared = cached // size if worker.kept is None else worker.blocks_of(cached)
    total = 0.0
    while (generated < output).any():
        alive = np.flatnonzero(generated < output)
        for i in alive[rng.random(len(alive)) < rng.choice([0.0, 0.05])]:
            computed[i] = cached[i]
        chosen, tokens, held, budget = [], [], 0, worker.max_num_batched_tokens
        own = {i: int(worker.blocks_of(computed[i])) - shared[i] for i in alive if computed[i] > cached[i]}
        resident = sum(own.values())
        for i in rng.permutation(alive):
            if len(chosen) == worker.max_num_seqs or budget == 0:
                break
            left = prompt[i] + generated[i] - computed[i]
            take = min(left, budget, int(rng.integers(1, left + 1)) if rng.random() < 0.3 else left)
            more = int(worker.blocks_of(computed[i] + take)) - shared[i] - own.get(i, 0)
            if resident + held + more <= worker.kv_blocks:
                chosen, tokens, held, budget = [*chosen, i], [*tokens, take], held + more, budget - take
        if not chosen:
            victim = rng.choice(list(own))
            computed[victim] = cached[victim]
            continue
        decoding = kv_tokens = prefill = 0
        for i, take in zip(chosen, tokens, strict=True):
            if generated[i] > 0 and computed[i] == prompt[i] + generated[i] - 1:
                decoding, kv_tokens = decoding + 1, kv_tokens + float(worker.read_of(computed[i] + 1))
            else:
                prefill += take
            computed[i] += take
            generated[i] += computed[i] == prompt[i] + generated[i]
            if generated[i] == output[i]:
                computed[i] = cached[i]
        total += worker.step_time.seconds(decoding, kv_tokens, prefill)
    return total
