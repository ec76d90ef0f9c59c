"""Prefill and decode together in every worker, or apart, and in what ratio (docs/disaggregation.md)."""

from shadowprice.disaggregation.fluid import Estimate, estimate, pays_by_tpot
from shadowprice.disaggregation.optimum import (
    GoodputBound,
    PoolRates,
    Split,
    best_split,
    goodput_bound,
    pool_rates,
    split_bound_per_s,
)
from shadowprice.disaggregation.policies import POLICIES, SplitRule
from shadowprice.disaggregation.problem import Link, PoolsProblem, Slo

__all__ = [
    "POLICIES",
    "Estimate",
    "GoodputBound",
    "Link",
    "PoolRates",
    "PoolsProblem",
    "Slo",
    "Split",
    "SplitRule",
    "best_split",
    "estimate",
    "goodput_bound",
    "pays_by_tpot",
    "pool_rates",
    "split_bound_per_s",
]
