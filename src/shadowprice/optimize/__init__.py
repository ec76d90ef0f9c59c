"""The few solver tools that are ours: linear and mixed-integer programs through HiGHS."""

from shadowprice.optimize.linear import LinearProgram, LinearSolution, solve

__all__ = ["LinearProgram", "LinearSolution", "solve"]
