"""Where and how urgently the processes of a benchmark run."""

import os


def cores() -> tuple[int | None, int | None]:
    """The router's core, and that of the workers and the load; None where processes cannot be held to a core."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def run_first() -> bool:
    """Let this process and all that it starts from now on run before ordinary programs; whether the system allows it.

    For what needs a part of a core at the right moments, not for what takes all it can get.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except (AttributeError, PermissionError):
        return False
    return True
