"""HiGHS through arrays: optimum, dual signs, integrality, infeasibility, time limit."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from scipy.optimize import linprog

from shadowprice.errors import ShadowpriceError
from shadowprice.optimize import LinearProgram, solve

KNAPSACK = LinearProgram(
    cost=np.array([-3.0, -4.0, -2.0]),
    upper=np.ones(3),
    row_lower=np.array([-inf]),
    row_upper=np.array([5.0]),
    start=np.array([0, 1, 2, 3]),
    index=np.zeros(3, dtype=np.int64),
    value=np.array([3.0, 4.0, 2.0]),
)


def dense(program: LinearProgram) -> np.ndarray:
    matrix = np.zeros((len(program.row_upper), len(program.cost)))
    for j in range(len(program.cost)):
        own = slice(program.start[j], program.start[j + 1])
        matrix[program.index[own], j] = program.value[own]
    return matrix


def test_relaxation_equals_scipy_and_its_dual_prices_the_row() -> None:
    rng = np.random.default_rng(1)
    for _ in range(30):
        value = rng.random(3) + 0.1
        program = replace(KNAPSACK, cost=-rng.random(3), value=value, row_upper=np.array([value.sum() * rng.random()]))
        solution = solve(program)
        peer = linprog(program.cost, dense(program), program.row_upper, bounds=(0, 1))
        assert solution.status == "optimal"
        assert solution.value == pytest.approx(peer.fun) == solution.bound
        assert solution.row_dual[0] == pytest.approx(peer.ineqlin.marginals[0]) and solution.row_dual[0] <= 0


def test_integer_program_is_solved_to_a_zero_gap_from_a_warm_start() -> None:
    solution = solve(replace(KNAPSACK, integer=True), warm_start=np.array([1.0, 0.0, 1.0]))
    assert (solution.status, solution.value, solution.bound) == ("optimal", -5.0, -5.0)
    assert solution.x.round().tolist() == [1, 0, 1]


@pytest.mark.parametrize("integer", [False, True])
def test_infeasible_is_an_answer_and_its_bound_is_infinite(integer: bool) -> None:
    solution = solve(replace(KNAPSACK, row_lower=np.array([10.0]), row_upper=np.array([inf]), integer=integer))
    assert (solution.status, solution.bound, solution.value) == ("infeasible", inf, inf)


def test_unbounded_is_an_answer() -> None:
    free = replace(KNAPSACK, upper=np.full(3, inf), row_upper=np.array([inf]))
    assert solve(free).status in ("unbounded",)


def test_a_time_limit_of_zero_proves_nothing() -> None:
    solution = solve(replace(KNAPSACK, integer=True), time_limit_s=0.0)
    assert solution.status in ("time_limit", "optimal")
    assert solution.bound <= -5.0 + 1e-9


def test_a_model_that_highs_refuses_is_an_error() -> None:
    with pytest.raises(ShadowpriceError, match="HiGHS"):
        solve(replace(KNAPSACK, index=np.array([0, 0, 7])))


def test_nothing_is_printed_on_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    solve(replace(KNAPSACK, integer=True))
    assert capfd.readouterr().out == ""
