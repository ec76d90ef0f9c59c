"""Scheduling inside a worker: which waiting requests join the batch, under growing KV memory."""

from shadowprice.scheduling.fairness import VirtualTokenCounter, vtc
from shadowprice.scheduling.policies import POLICIES, Gate, Ranked, Victim
from shadowprice.scheduling.surface import Requests, SchedulingPolicy, Served, WorkerState

__all__ = [
    "POLICIES",
    "Gate",
    "Ranked",
    "Requests",
    "SchedulingPolicy",
    "Served",
    "Victim",
    "VirtualTokenCounter",
    "WorkerState",
    "vtc",
]
