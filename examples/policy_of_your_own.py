"""A scheduling policy of your own, beside the built-in ones and the bound that none of them can beat.

    python examples/policy_of_your_own.py

The same object orders the waiting requests in the simulators and in the queue of the live router.
"""

import numpy as np

import shadowprice as sp


class ShortestTotal:
    """Who asks for the fewest tokens in all goes first."""

    def order(self, waiting, running, state):
        """Indices into `waiting`, best first; who is left out waits."""
        return np.argsort(waiting.prompt_tokens + waiting.predicted_output, kind="stable")


def main() -> None:
    worker = sp.read_fleet("llama-3.1-8b-h100").worker
    trace = sp.workload.PRESETS["azure-conv-like"](np.random.default_rng(0), requests=1500)
    stable_per_s = sp.stability(trace, worker).rate_per_s
    trace = sp.workload.scale_rate(trace, stable_per_s / trace.rate_per_s)  # as much as the worker can bear

    bound = sp.latency_bound(trace.arrival_s, trace.prompt_tokens, trace.output_tokens, worker)
    print(f"{'no policy can beat':<20}{bound.mean_s:>8.2f} s on average")
    policies = {name: sp.scheduling.POLICIES[name]() for name in ("fcfs", "shortest_output", "priced_work")}
    for name, policy in {**policies, "ShortestTotal": ShortestTotal()}.items():
        run = sp.simulate(trace, worker, policy)
        print(f"{name:<20}{run.e2e_s.mean():>8.2f} s on average, the longest {run.e2e_s.max():.1f} s")


if __name__ == "__main__":
    main()
