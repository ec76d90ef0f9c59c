"""Settings on which the closed form of the stable rate is held against simulation."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from shadowprice.fleet import Worker, read_fleet
from shadowprice.workload import Sizes, Trace, generate, lognormal_lengths, poisson_arrivals

# prompt and output: median, sigma of the log, and largest
MIXES = {
    "chat": ((800, 0.8, 4000), (150, 0.7, 800)),
    "code": ((2000, 0.6, 6000), (20, 0.8, 200)),
    "long context": ((8000, 0.5, 16000), (300, 0.5, 1000)),
    "reasoning": ((200, 1.0, 2000), (1000, 0.8, 5000)),
    "short": ((60, 0.6, 300), (60, 0.6, 300)),
}
FIT = (16, 32, 64, 256)  # mean requests, at their largest, that fit into KV memory: tight to loose
LIMITS = ((256, 8192), (256, 512), (32, 2048))  # most sequences, most tokens of a step


def mix(name: str, requests: int, seed: int = 0) -> Trace:
    prompt, output = (lognormal_lengths(*shape) for shape in MIXES[name])
    rng = np.random.default_rng(seed)
    return generate(poisson_arrivals, Sizes(prompt, output), rng, rate_per_s=1.0, requests=requests, name=name)


def settings(requests: int) -> Iterator[tuple[str, Trace, Worker]]:
    """Name, trace and worker of 5 x 4 x 3 = 60 settings; every other one decides steps ahead."""
    base = read_fleet("llama-3.1-8b-h100").worker
    for name in MIXES:
        trace = mix(name, requests)
        peak = trace.prompt_tokens + trace.output_tokens - 1
        for fit in FIT:
            for place, (seqs, budget) in enumerate(LIMITS):
                worker = replace(
                    base,
                    kv_tokens=int(fit * peak.mean()),
                    max_num_seqs=seqs,
                    max_num_batched_tokens=budget,
                    async_scheduling=place % 2 == 0,
                )
                yield f"{name}, {fit} fit, {seqs} sequences, {budget} tokens", trace, worker
