"""Rules for how many of the workers prefill; 0 keeps prefill and decode together. Each takes a PoolsProblem."""

from collections.abc import Callable

from shadowprice.disaggregation.fluid import estimate
from shadowprice.disaggregation.optimum import best_split, pool_rates
from shadowprice.disaggregation.problem import PoolsProblem

SplitRule = Callable[[PoolsProblem], int]


def together(problem: PoolsProblem) -> int:
    """Every worker does both, as an engine does by default; on equal hardware no split has a higher stable rate."""
    return 0


def half(problem: PoolsProblem) -> int:
    """As many prefill as decode workers (one for one, the example in most deployment guides)."""
    return problem.workers // 2


def by_tokens(problem: PoolsProblem) -> int:
    """In the ratio of prompt to output tokens, at least one of each: a rule of thumb."""
    prompts, outputs = float(problem.prompt_tokens.mean()), float(problem.output_tokens.mean())
    return _clip(problem, problem.workers * prompts / (prompts + outputs))


def by_rate(problem: PoolsProblem) -> int:
    """The split with the highest stable rate (`optimum.best_split`); exact for that objective."""
    return best_split(pool_rates(problem), problem.workers).prefill_workers if problem.workers > 1 else 0


def by_slo(problem: PoolsProblem) -> int:
    """The design with the highest estimated goodput under the SLO (`fluid.estimate`), together included. Ours."""
    return estimate(problem).best_prefill_workers


def _clip(problem: PoolsProblem, workers: float) -> int:
    return min(max(round(workers), 1), problem.workers - 1) if problem.workers > 1 else 0


POLICIES: dict[str, SplitRule] = {rule.__name__: rule for rule in (together, half, by_tokens, by_rate, by_slo)}
