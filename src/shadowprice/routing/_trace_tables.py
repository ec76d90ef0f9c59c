"""A trace and a policy as the tables that the kernels serve them from."""

import numpy as np

from shadowprice.arrays import IntArray, Records
from shadowprice.routing._decider import request_keys
from shadowprice.routing._tables import NO_RULE, REQUEST, Remembered, Rule, nothing_seen
from shadowprice.routing.compiled import Compiled
from shadowprice.routing.surface import Needs, RoutingPolicy
from shadowprice.workload.trace import Trace


def tables_of(trace: Trace, policy: RoutingPolicy, workers: int) -> tuple[Rule, Records, Remembered]:
    """The policy's rule, a row per request, and what the policy remembers before the first; of plain Python no rule.

    All the random numbers that it may need are drawn.
    """
    if not isinstance(policy, Compiled):
        return NO_RULE, _requests(trace, Needs()), nothing_seen(Needs(), workers)
    blocks = trace_blocks(trace) if policy.needs.trees else np.zeros(0, np.int64)
    memory = nothing_seen(policy.needs, workers, blocks, trace.prefix_block_tokens)
    draws = np.random.default_rng(policy.seed).random(policy.needs.draws * len(trace))
    return policy.kernel_rule(), _requests(trace, policy.needs), memory._replace(draws=draws)


def trace_blocks(trace: Trace) -> IntArray:
    """The ids from 0 of all prompts' blocks, request after request."""
    if trace.prefix is None:
        return np.zeros(0, np.int64)
    return np.unique(trace.prefix.values, return_inverse=True)[1].astype(np.int64)


def _requests(trace: Trace, needs: Needs) -> Records:
    requests = np.zeros(len(trace), REQUEST)
    requests["arrival_s"], requests["prompt"] = trace.arrival_s, trace.prompt_tokens
    requests["output"] = trace.output_tokens
    requests["predicted"] = trace.output_tokens if trace.predicted_output is None else trace.predicted_output
    if needs.keys:
        session = trace.session if trace.session is not None else np.full(len(trace), -1, np.int64)
        requests["key"] = request_keys(session, trace.arrival_s, trace.prompt_tokens, trace.prefix)
    if trace.prefix is not None:
        requests["first_block"], requests["n_blocks"] = trace.prefix.offsets[:-1], np.diff(trace.prefix.offsets)
    return requests
