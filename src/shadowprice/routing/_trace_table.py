"""A trace as the table that the compiled routing policies read."""

import numpy as np

from shadowprice.arrays import IntArray
from shadowprice.routing import _tables as tables
from shadowprice.routing._ask import request_keys
from shadowprice.workload.trace import Trace


def trace_table(trace: Trace, rules: tables.Rules) -> tuple[tables.Table, IntArray]:
    """One row per request, and the ids from 0 of all prompts' blocks."""
    requests = np.zeros(len(trace), tables.REQUEST)
    requests["arrival_s"], requests["prompt"] = trace.arrival_s, trace.prompt_tokens
    requests["output"] = trace.output_tokens
    requests["predicted"] = trace.output_tokens if trace.predicted_output is None else trace.predicted_output
    if rules.code == tables.CONSISTENT_HASH:
        session = trace.session if trace.session is not None else np.full(len(trace), -1, np.int64)
        requests["key"] = request_keys(session, trace.arrival_s, trace.prompt_tokens, trace.prefix)
    if trace.prefix is None:
        return requests, np.zeros(0, np.int64)
    requests["first_block"], requests["n_blocks"] = trace.prefix.offsets[:-1], np.diff(trace.prefix.offsets)
    return requests, np.unique(trace.prefix.values, return_inverse=True)[1].astype(np.int64)
