"""Drives policies through time: one engine, rounds of the theory model, later whole clusters."""

from shadowprice.simulate.engine import EngineRun, Series, simulate

__all__ = ["EngineRun", "Series", "simulate"]
