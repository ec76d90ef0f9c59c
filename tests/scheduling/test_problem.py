"""The instance of the round model refuses what has no meaning and measures schedules by the definition."""

import numpy as np
import pytest

from shadowprice.errors import InfeasibleError, TraceError
from shadowprice.scheduling.problem import RoundInstance

ONE = np.array([1])


def test_volume_is_the_sum_of_tokens_held_over_its_life() -> None:
    case = RoundInstance(np.array([0, 0]), np.array([3, 1]), np.array([4, 1]), 7)
    assert case.volume.tolist() == [4 + 5 + 6 + 7, 2]
    assert case.usage(np.array([0, 4])).tolist() == [0, 4, 5, 6, 7, 2]
    assert case.total_latency(np.array([0, 4])) == 4 + 5


def test_a_request_larger_than_memory_is_infeasible_and_named() -> None:
    with pytest.raises(InfeasibleError, match=r"request 1 needs 9 tokens \(5 prompt \+ 4 output\); memory_tokens is 8"):
        RoundInstance(np.array([0, 0]), np.array([1, 5]), np.array([1, 4]), 8)


@pytest.mark.parametrize(
    ("arrival", "prompt", "output", "memory", "message"),
    [
        (np.array([-1]), ONE, ONE, 9, r"request 0: arrival is -1; expected a whole number >= 0"),
        (ONE, np.array([0]), ONE, 9, r"request 0: prompt_tokens is 0; expected a whole number >= 1"),
        (ONE, ONE, np.array([-3]), 9, r"request 0: output_tokens is -3"),
        (ONE, ONE, np.array([1, 2]), 9, r"output_tokens has 2 rows; arrival has 1"),
        (ONE, np.array([1.5]), ONE, 9, r"prompt_tokens must be a one-dimensional int64 array"),
        (ONE, np.array([[1]]), ONE, 9, r"prompt_tokens must be a one-dimensional int64 array"),
        (ONE, [1], ONE, 9, r"prompt_tokens must be a one-dimensional int64 array"),
        (np.array([np.nan]), ONE, ONE, 9, r"arrival must be a one-dimensional int64 array"),
        (ONE, ONE, ONE, 0, r"memory_tokens is 0; expected a whole number >= 1"),
        (ONE, ONE, ONE, 2.5, r"memory_tokens is 2.5"),
        (ONE, ONE, ONE, True, r"memory_tokens is True"),
    ],
)
def test_bad_columns_are_named(arrival, prompt, output, memory, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TraceError, match=message):
        RoundInstance(arrival, prompt, output, memory)


@pytest.mark.parametrize(
    ("starts", "message"),
    [
        (np.array([0]), r"shape \(1,\); expected one start per request, 2"),
        (np.array([0, 1]), r"request 1 starts at round 1, before its arrival 2"),
        (np.array([0, 2]), r"round 3 holds 9 tokens; memory_tokens is 8"),
    ],
)
def test_an_impossible_schedule_is_named(starts: np.ndarray, message: str) -> None:
    case = RoundInstance(np.array([0, 2]), np.array([4, 1]), np.array([4, 3]), 8)
    with pytest.raises(InfeasibleError, match=message):
        case.require_feasible(starts)
    case.require_feasible(np.array([0, 4]))
