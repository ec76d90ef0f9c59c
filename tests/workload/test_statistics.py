import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trace_files import full_trace, real

from shadowprice.workload import Ragged, Trace, describe, read_trace
from shadowprice.workload.statistics import dispersion, prefix_reuse


def reuse_by_hand(trace: Trace) -> float:
    seen: set[int] = set()
    found = 0
    for i in range(len(trace)):
        blocks = trace.prefix[i].tolist()
        for place, block in enumerate(blocks):
            if block in seen:
                found += max(
                    0, min(trace.prefix_block_tokens, int(trace.prompt_tokens[i]) - place * trace.prefix_block_tokens)
                )
        seen |= set(blocks)
    return found / int(trace.prompt_tokens.sum())


@given(lists=st.lists(st.lists(st.integers(0, 5), max_size=4), min_size=1, max_size=8), seed=st.integers(0, 99))
def test_prefix_reuse_counts_tokens_in_blocks_seen_before(lists, seed):
    n = len(lists)
    flat = np.array([value for row in lists for value in row], dtype=np.int64)
    prompt = np.random.default_rng(seed).integers(1, 70, n)
    prefix = Ragged.from_lengths(flat, [len(row) for row in lists])
    trace = Trace(np.arange(n) / 1, prompt, np.ones(n, int), prefix=prefix, prefix_block_tokens=16)
    assert prefix_reuse(trace) == pytest.approx(reuse_by_hand(trace))


def test_reuse_is_the_cached_share_where_only_that_is_known():
    trace = Trace(np.zeros(2), np.array([10, 30]), np.ones(2, int), cached_tokens=np.array([0, 20]))
    assert prefix_reuse(trace) == 0.5


def test_dispersion_counts_whole_windows_only():
    arrival_s = np.array([0, 1, 2, 60, 61, 120, 121, 122, 170.0])
    trace = Trace(arrival_s, np.ones(9, int), np.ones(9, int))
    assert dispersion(trace, 60) == pytest.approx(np.var([3, 2]) / 2.5)
    assert dispersion(trace, 100) is None


def test_a_regular_trace_has_no_spread():
    statistics = describe(Trace(np.arange(600.0), np.full(600, 7), np.full(600, 9)))
    assert statistics.interarrival_cv == pytest.approx(0) and statistics.dispersion_60s == pytest.approx(0)
    assert statistics.prompt_output_correlation is None
    assert statistics.prompt_tokens.p99 == 7 and statistics.output_tokens.mean == 9


@pytest.mark.parametrize("n", [0, 1, 2, 3, 50])
def test_statistics_of_any_length_are_json_and_text(n):
    statistics = describe(full_trace(n))
    assert json.loads(json.dumps(statistics.to_json(), allow_nan=False))["requests"] == n
    assert "requests" in str(statistics)


def test_all_at_once_has_no_rate():
    statistics = describe(Trace(np.zeros(5), np.ones(5, int), np.ones(5, int)))
    assert statistics.rate_per_s is None and statistics.interarrival_cv is None


def test_the_real_azure_trace_is_described_as_published():
    statistics = describe(read_trace(real("azure2023_conv.csv")))
    assert statistics.prompt_tokens.p50 == 1020 and statistics.output_tokens.p50 == 129  # Splitwise, figure 3
    assert statistics.interarrival_cv == pytest.approx(1.094, abs=1e-3)
    assert statistics.dispersion_60s == pytest.approx(16.1, abs=0.1)


def test_the_real_mooncake_trace_reuses_a_third_of_its_prompt_tokens():
    assert describe(read_trace(real("mooncake_conversation.jsonl"))).prefix_reuse == pytest.approx(0.374, abs=1e-3)
