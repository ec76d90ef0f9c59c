"""Scheduling inside a worker: which waiting requests join the batch, under growing KV memory."""

from shadowprice.scheduling.fairness import VirtualTokenCounter, vtc
from shadowprice.scheduling.policies import POLICIES
from shadowprice.scheduling.ranked import Gate, Levels, Ranked, Victim
from shadowprice.scheduling.surface import Needs, Requests, SchedulingPolicy, TenantService, WorkerState

__all__ = [
    "POLICIES",
    "Gate",
    "Levels",
    "Needs",
    "Ranked",
    "Requests",
    "SchedulingPolicy",
    "TenantService",
    "Victim",
    "VirtualTokenCounter",
    "WorkerState",
    "vtc",
]
