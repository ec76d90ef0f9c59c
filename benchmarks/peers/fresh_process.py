# ruff: noqa: E402 (the clock starts before the imports that it times)
"""One simulation in a process of its own: how long from its start, and how much memory at most.

    python benchmarks/peers/fresh_process.py REQUESTS RATE_PER_S SEED

Prints one JSON line. import_s: numpy, numba and shadowprice; simulate_s: the first call of `simulate`, the loading of
the compiled kernel included (or its compilation, where the cache is empty); cpu_s: CPU time of the whole process;
peak_bytes: its largest resident size.
"""

import time

STARTED = time.perf_counter()

import json
import resource
import sys

import workload

from shadowprice.fleet.step_time import StepTime
from shadowprice.fleet.worker import Worker
from shadowprice.scheduling import POLICIES
from shadowprice.simulate import simulate
from shadowprice.workload import Trace


def main() -> None:
    imported = time.perf_counter()
    requests, rate_per_s, seed = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    trace = Trace(**workload.columns(requests, rate_per_s, seed), name="benchmark")
    worker = Worker(StepTime(**workload.STEP_TIME), **workload.LIMITS)
    made = time.perf_counter()
    run = simulate(trace, worker, POLICIES["fcfs"]())
    simulated = time.perf_counter()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    answer = {
        "requests": len(trace),
        "steps": run.steps,
        "import_s": imported - STARTED,
        "simulate_s": simulated - made,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
