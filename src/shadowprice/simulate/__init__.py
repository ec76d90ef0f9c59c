"""Drives policies through time: one engine, rounds of the theory model, clusters, and pools that prefill or decode."""

from shadowprice.simulate.disaggregated import PoolsRun, simulate_apart, simulate_together
from shadowprice.simulate.engine import EngineRun, Series, simulate

__all__ = ["EngineRun", "PoolsRun", "Series", "simulate", "simulate_apart", "simulate_together"]
