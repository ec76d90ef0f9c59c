"""The table of requests in flight: sums by worker, in one process and in several."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowprice.errors import RouterError
from shadowprice.router.flight import HEADER, Flights, block_numbers


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3), st.integers(1, 900), st.integers(0, 50)), max_size=60))
def test_every_process_sees_the_sums_of_all(rows: list[tuple[int, int, int, int]]) -> None:
    shared = np.zeros((2, block_numbers(64)), np.int64)
    tables = [Flights(shared, own) for own in (0, 1)]
    rng = np.random.default_rng(0)
    kept: list[tuple[int, int, int]] = []
    for own, worker, prompt, tokens in rows:
        row = tables[own].take(worker, prompt)
        tables[own].generated[row] = tokens
        if rng.random() < 0.3:
            tables[own].free(row)
        else:
            kept.append((worker, prompt, tokens))
    for table in tables:
        active, (running, kv, waiting, waiting_tokens) = table.survey(4)
        for g in range(4):
            here = [(prompt, tokens) for worker, prompt, tokens in kept if worker == g]
            assert running[g] == sum(tokens > 0 for _, tokens in here)
            assert kv[g] == sum(prompt + tokens for prompt, tokens in here if tokens)
            assert waiting[g] == sum(not tokens for _, tokens in here)
            assert waiting_tokens[g] == sum(prompt for prompt, tokens in here if not tokens)
        assert len(active.worker) == sum(running)
        assert table.of_all_processes == len(kept)
    assert len(tables[0]) + len(tables[1]) == len(kept)


def test_a_removed_worker_takes_its_rows_along_and_the_others_move_up() -> None:
    table = Flights()
    rows = [table.take(worker, 10 + worker) for worker in (0, 1, 2, 1)]
    table.remove_worker(1)
    _, (_, _, waiting, waiting_tokens) = table.survey(2)
    assert (waiting, waiting_tokens) == ([1, 1], [10, 12])
    for row in rows:
        table.free(row)
    assert len(table) == 0 and sum(table.survey(2)[1][2]) == 0


def test_a_full_table_says_so() -> None:
    table = Flights(np.zeros((1, HEADER + 3 * 2), np.int64))
    table.take(0, 1), table.take(0, 1)
    with pytest.raises(RouterError, match="2 requests are in flight"):
        table.take(0, 1)
