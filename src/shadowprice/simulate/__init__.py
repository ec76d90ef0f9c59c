"""Drives policies through time: one engine, rounds of the theory model, clusters, and pools that prefill or decode."""

from shadowprice.simulate.disaggregated import PoolsRun, simulate_apart, simulate_together
from shadowprice.simulate.engine import EngineRun, Series, simulate
from shadowprice.verb import make_verb

__all__ = ["EngineRun", "PoolsRun", "Series", "simulate", "simulate_apart", "simulate_together"]

make_verb(__name__)
