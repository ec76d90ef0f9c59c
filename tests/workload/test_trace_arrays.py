import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trace_files import full_trace

from shadowprice.errors import TraceError
from shadowprice.workload import Ragged, Trace


@given(lists=st.lists(st.lists(st.integers(-9, 9), max_size=4), max_size=6), seed=st.integers(0, 99))
def test_taking_lists_gives_those_lists(lists, seed):
    flat = np.array([value for row in lists for value in row], dtype=np.int64)
    ragged = Ragged.from_lengths(flat, [len(row) for row in lists])
    index = np.random.default_rng(seed).integers(0, max(len(lists), 1), 5 if lists else 0)
    taken = ragged.take(index)
    assert [taken[i].tolist() for i in range(len(taken))] == [lists[i] for i in index]
    twice = Ragged.concatenate([ragged, taken])
    assert [twice[i].tolist() for i in range(len(twice))] == lists + [lists[i] for i in index]


def test_ragged_offsets_must_fit_the_values():
    for offsets in ([0, 1], [1, 2], [0, 2, 1, 2], []):
        with pytest.raises(TraceError):
            Ragged(np.arange(2), np.array(offsets, dtype=np.int64))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output_tokens": np.array([1, 0])}, "request 1: output_tokens is 0; expected a whole number >= 1"),
        ({"arrival_s": np.array([1.0, 0.5])}, "request 1: arrival_s is 0.5; expected a time no earlier"),
        ({"arrival_s": np.array([0.0, np.nan])}, "request 1: arrival_s is nan; expected a finite number"),
        ({"priority": np.array([1])}, "priority has 1 rows; expected 2"),
        ({"cached_tokens": np.array([0, 7])}, "request 1: cached_tokens is 7"),
    ],
)
def test_impossible_values_name_the_request_and_field(change, message):
    columns = {"arrival_s": np.array([0.0, 1.0]), "prompt_tokens": np.array([5, 6]), "output_tokens": np.array([1, 2])}
    with pytest.raises(TraceError, match=message):
        Trace(**columns | change)


def test_columns_take_the_types_that_kernels_expect():
    prefix = Ragged(np.array([1, 2], dtype=np.uint8), np.array([0, 2]))
    trace = Trace(np.array([3]), np.array([5], dtype=np.int32), np.array([2.0]), prefix=prefix, prefix_block_tokens=4)
    assert trace.arrival_s.dtype == np.float64 and trace.prefix.values.dtype == np.int64
    assert trace.prompt_tokens.dtype == trace.output_tokens.dtype == np.int64
    for wrong in (np.array([2.5]), np.array([2**63], dtype=np.uint64), np.array(["2"])):
        with pytest.raises(TraceError, match=r"prompt_tokens is .*; expected values that int64 holds exactly"):
            Trace(np.array([3.0]), wrong, np.array([2]))


def test_taking_requests_keeps_every_column():
    trace = full_trace(9).take([2, 5, 5, 7])
    assert trace.tenant.tolist() == [0, 1, 1, 1]
    assert [len(trace.prefix[i]) for i in range(4)] == [2, 2, 2, 1]
    assert trace.prefix_block_tokens == 16 and trace.name == "full"


def test_rates_of_short_traces_are_defined():
    one = np.array([1])
    assert Trace(np.array([3.0]), one, one).rate_per_s == 0
    two = np.array([1, 1])
    assert Trace(np.array([3.0, 3.0]), two, two).rate_per_s == np.inf
    assert Trace(np.array([3.0, 5.0]), two, two).rate_per_s == 0.5
