"""Linear and mixed-integer programs through HiGHS, built from arrays."""

from dataclasses import dataclass
from math import inf
from typing import Any, Literal

import highspy
import numpy as np

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.errors import ShadowpriceError

Status = Literal["optimal", "infeasible", "time_limit", "unbounded"]

# The compiled class below highspy.Highs, whose own constructor prints a banner on stdout before it can be silenced.
Solver: Any = highspy.Highs.__base__
STATUS: dict[highspy.HighsModelStatus, Status] = {
    highspy.HighsModelStatus.kOptimal: "optimal",
    highspy.HighsModelStatus.kInfeasible: "infeasible",
    highspy.HighsModelStatus.kTimeLimit: "time_limit",
    highspy.HighsModelStatus.kUnbounded: "unbounded",
}


@dataclass(frozen=True)
class LinearProgram:
    """minimise cost @ x subject to row_lower <= A x <= row_upper, 0 <= x <= upper, x integer where `integer`.

    A is given by columns: column j has the rows index[start[j]:start[j+1]] with the coefficients value[...] there.
    cost, upper: [columns]; row_lower, row_upper: [rows], +-inf for none; start: [columns + 1].
    """

    cost: FloatArray
    upper: FloatArray
    row_lower: FloatArray
    row_upper: FloatArray
    start: IntArray
    index: IntArray
    value: FloatArray
    integer: bool = False


@dataclass(frozen=True)
class LinearSolution:
    """What HiGHS found: value (inf when nothing feasible was found), a proved lower bound, x, row duals (LP only).

    bound: for an LP solved to the end its optimum, else -inf; for an integer program the proved dual bound; inf when
    the program is proved infeasible.
    """

    status: Status
    value: float
    bound: float
    x: FloatArray
    row_dual: FloatArray


def solve(
    program: LinearProgram, time_limit_s: float = inf, warm_start: FloatArray | None = None, threads: int = 1
) -> LinearSolution:
    """Solve with HiGHS; warm_start is a feasible x that an integer program starts from.

    Raises ShadowpriceError when HiGHS fails for any reason that is neither infeasibility nor the time limit.
    """
    highs = Solver()
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("threads", threads)
    if program.integer:
        # Values of these programs are whole numbers, so the default relative gap of 1e-4 would stop too early.
        highs.setOptionValue("mip_rel_gap", 0.0)
    if time_limit_s < inf:
        highs.setOptionValue("time_limit", max(float(time_limit_s), 0.0))
    highs.passModel(_model(program))
    if warm_start is not None:
        used = np.flatnonzero(warm_start)
        highs.setSolution(len(used), used.astype(np.int32), warm_start[used].astype(np.float64))
    highs.run()
    return _read(highs, program.integer)


def _model(program: LinearProgram) -> highspy.HighsLp:
    lp = highspy.HighsLp()
    lp.num_col_ = len(program.cost)
    lp.num_row_ = len(program.row_lower)
    lp.col_cost_ = program.cost
    lp.col_lower_ = np.zeros(len(program.cost))
    lp.col_upper_ = program.upper
    lp.row_lower_ = program.row_lower
    lp.row_upper_ = program.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = program.start.astype(np.int32)
    lp.a_matrix_.index_ = program.index.astype(np.int32)
    lp.a_matrix_.value_ = program.value
    if program.integer:
        lp.integrality_ = [highspy.HighsVarType.kInteger] * len(program.cost)
    return lp


def _read(highs: Any, integer: bool) -> LinearSolution:
    code = highs.getModelStatus()
    if code not in STATUS:
        raise ShadowpriceError(f"HiGHS stopped with status {highs.modelStatusToString(code)!r}")
    status, info, solution = STATUS[code], highs.getInfo(), highs.getSolution()
    if status in ("infeasible", "unbounded"):
        value = inf if status == "infeasible" else -inf
        return LinearSolution(status, value, value, np.empty(0), np.empty(0))
    feasible = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    value = info.objective_function_value if feasible else inf
    bound = info.mip_dual_bound if integer else (value if status == "optimal" else -inf)
    row_dual = np.empty(0) if integer else np.array(solution.row_dual)
    return LinearSolution(status, value, bound, np.array(solution.col_value), row_dual)
