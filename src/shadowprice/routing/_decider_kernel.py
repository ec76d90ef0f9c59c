# mypy: allow-untyped-defs, allow-untyped-calls
"""A policy asked once through plain arrays, compiled: fills the tables of `decide`, learns, decides."""

from typing import NamedTuple

import numpy as np

from shadowprice.arrays import FloatArray, IntArray, Records
from shadowprice.kernels import njit
from shadowprice.routing._decide_kernel import decide
from shadowprice.routing._learn_kernel import note_end
from shadowprice.routing._tables import Question

NEVER = np.iinfo(np.int64).max


class Waiting(NamedTuple):
    """Columns of `Pending`, and where each one's prompt blocks are; those that may be missing are empty then."""

    arrival_s: FloatArray
    prompt: IntArray
    passes: IntArray
    predicted: IntArray
    keys: np.ndarray
    first_block: IntArray
    n_blocks: IntArray


class Running(NamedTuple):
    """Columns of `Active`."""

    worker: IntArray
    prompt: IntArray
    generated: IntArray
    predicted: IntArray


class Loads(NamedTuple):
    """Columns of `Workers`."""

    kv: IntArray
    running: IntArray
    waiting: IntArray
    waiting_tokens: IntArray
    slots: IntArray
    speed: FloatArray
    opened: IntArray


class Desk(NamedTuple):
    """The tables in which a decision is taken: see `Question`. listed: how many of slots[g] are."""

    requests: Records
    workers: Records
    slots: IntArray
    listed: IntArray
    pool: IntArray


@njit(cache=True)
def fill_pending(requests, waiting):
    """The pending are the first rows of the table."""
    passes, predicted, keys = waiting.passes, waiting.predicted, waiting.keys
    first_block, n_blocks = waiting.first_block, waiting.n_blocks
    for i in range(len(waiting.arrival_s)):
        requests[i].arrival_s = waiting.arrival_s[i]
        requests[i].prompt = waiting.prompt[i]
        requests[i].passes = passes[i] if len(passes) else 0
        requests[i].predicted = predicted[i] if len(predicted) else NEVER
        requests[i].key = keys[i] if len(keys) else 0
        requests[i].first_block = first_block[i] if len(first_block) else 0
        requests[i].n_blocks = n_blocks[i] if len(n_blocks) else 0


@njit(cache=True)
def fill_running(desk, running, n):
    """The running follow from row n on; slots[g] lists those of worker g, listed[g] how many."""
    requests, slots, listed, predicted = desk.requests, desk.slots, desk.listed, running.predicted
    listed[:] = 0
    for i in range(len(running.worker)):
        r, g = n + i, running.worker[i]
        requests[r].prompt = running.prompt[i]
        requests[r].start_step = -running.generated[i]
        requests[r].predicted = predicted[i] if len(predicted) else NEVER
        slots[g, listed[g]] = r
        listed[g] += 1


@njit(cache=True)
def fill_workers(workers, loads):
    """One row per worker."""
    for g in range(len(loads.kv)):
        workers[g].kv = loads.kv[g]
        workers[g].queued_kv = loads.waiting_tokens[g]
        workers[g].running = loads.running[g]
        workers[g].queued = loads.waiting[g]
        workers[g].free = max(loads.slots[g] - loads.running[g] - loads.waiting[g], 0)
        workers[g].speed = loads.speed[g] if len(loads.speed) else 1.0
        workers[g].shut = 1 - loads.opened[g] if len(loads.opened) else 0


@njit(cache=True)
def answer_once(rule, now_s, may_wait, waiting, running, loads, finished_tokens, desk, memory, answer):
    """Fill answer with the worker of each that waits."""
    if rule.learns:
        for tokens in finished_tokens:
            note_end(memory.learned, tokens)
    n = len(waiting.arrival_s)
    if n == 0:
        return
    requests, workers = desk.requests, desk.workers
    fill_pending(requests, waiting)
    fill_workers(workers, loads)
    fill_running(desk, running, n)
    for g in range(len(workers)):  # the forecast walks over the listed
        workers[g].running = desk.listed[g] if len(running.worker) else loads.running[g]
    decide(rule, Question(requests, desk.pool, n, workers, desk.slots, 0, now_s, may_wait, answer), memory)
