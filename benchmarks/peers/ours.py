"""shadowprice on the workload: built-in FCFS, each step decided when the one before it ends, as the peers do.

Timed: one call of `simulate` with all arrays at hand, after a call on ten requests has loaded the compiled kernel.
"""

import sys

import numpy as np
from peer import answer, timed, workload

from shadowprice.fleet.step_time import StepTime
from shadowprice.fleet.worker import Worker
from shadowprice.scheduling import POLICIES
from shadowprice.simulate import simulate
from shadowprice.workload import Trace


def main() -> None:
    load = workload()
    policy = POLICIES[sys.argv[2] if len(sys.argv) > 2 else "fcfs"]()
    columns = (np.asarray(load[name]) for name in ("arrival_s", "prompt_tokens", "output_tokens"))
    trace = Trace(*columns, name="benchmark")
    worker = Worker(StepTime(**load["step_time"]), **load["limits"], async_scheduling=False)
    simulate(trace.take(np.arange(10)), worker, policy)
    run, seconds = timed(lambda: simulate(trace, worker, policy))
    answer(f"ours ({policy.name})", len(trace), seconds, float(run.e2e_s.mean()))


if __name__ == "__main__":
    main()
