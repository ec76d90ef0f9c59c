"""Processes of the router's own that must not outlive it."""

import multiprocessing
import os


def end_with_parent() -> None:
    """Wait for the process that started this one to end, then end at once; for a thread of its own."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
