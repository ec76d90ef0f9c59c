"""Which core a router has to itself, and which one everything else of a benchmark shares."""

import os


def cores() -> tuple[int | None, int | None]:
    """The router's core, and that of the workers and the load; None where processes cannot be held to a core."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]
