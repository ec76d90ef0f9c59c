"""Scheduling inside a worker: which waiting requests join the batch, under growing KV memory."""

from shadowprice.scheduling.policies import POLICIES, Gate, Ranked, Victim
from shadowprice.scheduling.surface import Requests, SchedulingPolicy, WorkerState

__all__ = ["POLICIES", "Gate", "Ranked", "Requests", "SchedulingPolicy", "Victim", "WorkerState"]
