"""The table of requests in flight: sums by worker, in one process and in several."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowprice.errors import RouterError
from shadowprice.router.fleet.in_flight import HEADER, Flights, block_numbers


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3), st.integers(1, 900), st.integers(0, 50)), max_size=60))
def test_every_process_sees_the_sums_of_all(rows: list[tuple[int, int, int, int]]) -> None:
    shared = np.zeros((2, block_numbers(64)), np.int64)
    tables = [Flights(shared, own) for own in (0, 1)]
    for table in tables:
        table.set_workers(range(4))
    rng = np.random.default_rng(0)
    kept: list[tuple[int, int, int]] = []
    for own, worker, prompt, tokens in rows:
        row = tables[own].take(worker, prompt)
        tables[own].generated[row] = tokens
        if rng.random() < 0.3:
            tables[own].free(row)
        else:
            kept.append((worker, prompt, tokens))
    for table, table.compiled in product(tables, (True, False)):
        active, (running, kv, waiting, waiting_tokens) = table.survey()
        for g in range(4):
            here = [(prompt, tokens) for worker, prompt, tokens in kept if worker == g]
            assert running[g] == sum(tokens > 0 for _, tokens in here)
            assert kv[g] == sum(prompt + tokens for prompt, tokens in here if tokens)
            assert waiting[g] == sum(not tokens for _, tokens in here)
            assert waiting_tokens[g] == sum(prompt for prompt, tokens in here if not tokens)
        assert sorted(zip(active.worker, active.prompt_tokens, active.generated_tokens, strict=True)) == sorted(
            row for row in kept if row[2]
        )
        assert len(active.worker) == sum(running)
        assert table.of_all_processes == len(kept)
    assert tables[0].of_this_process + tables[1].of_this_process == len(kept)


def test_processes_that_remove_a_worker_one_after_the_other_tell_of_the_same_all_the_time() -> None:
    shared = np.zeros((2, block_numbers(64)), np.int64)
    tables = [Flights(shared, own) for own in (0, 1)]
    for table in tables:
        table.set_workers([0, 1, 2])
    rows = [(table, table.take(number, 10 + number)) for table in tables for number in (0, 1, 2, 1)]
    tables[0].set_workers([0, 2])
    assert tables[0].loads() == [(0, 2, 0, 20), (0, 2, 0, 24)]
    assert tables[1].loads() == [(0, 2, 0, 20), (0, 4, 0, 44), (0, 2, 0, 24)]
    tables[0].set_workers([0, 2, 3])
    rows.append((tables[0], tables[0].take(3, 100)))  # added by one of them before the other has heard of it
    assert tables[1].loads() == [(0, 2, 0, 20), (0, 4, 0, 44), (0, 2, 0, 24)]
    tables[1].set_workers([3, 2, 0])
    assert tables[1].loads() == [(0, 1, 0, 100), (0, 2, 0, 24), (0, 2, 0, 20)]
    for table, row in rows:
        table.free(row)
    assert all(table.of_this_process == 0 and not any(map(any, table.loads())) for table in tables)


def test_a_full_table_says_so() -> None:
    table = Flights(np.zeros((1, HEADER + 3 * 2), np.int64))
    table.take(0, 1), table.take(0, 1)
    with pytest.raises(RouterError, match="2 requests are in flight"):
        table.take(0, 1)
