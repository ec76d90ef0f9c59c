"""What the routing kernels work on: a question, the rule that answers it, and what a policy remembers."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from shadowprice.arrays import FloatArray, IntArray, Records
from shadowprice.routing.surface import Needs

RECENT = 1024  # prompts whose law prices the holes
LAW_POINTS = 256  # of the tabulated excess function
AGES = 64  # geometric classes of tokens generated, a quarter of an octave each
LONGEST_AGE = 1 << 17  # tokens from which on all ages are one class
TREE_TOKENS = 1 << 24  # in SGLang's tree of a worker at most: 2^26 characters


def _fields(kind: type, names: str) -> list[tuple[str, Any]]:
    return [(name, kind) for name in names.split()]


# One row per request. key: hash of its session, or of its prompt. cached: prompt tokens that its worker held already.
REQUEST = np.dtype(
    _fields(np.float64, "arrival_s offered_s first_token_s finish_s")
    + _fields(np.int64, "prompt output predicted first_block n_blocks passes worker start_step following place cached")
    + [("key", np.uint64)]
)
# One row per worker. free: slots that nobody has or waits for; head, tail: its queue. level (load in KV tokens over
# speed), count, room: as they become while a decision is made. shut: 1 where it must not be given any.
WORKER = np.dtype(
    _fields(np.float64, "kv queued_kv speed level prefill seconds")
    + _fields(np.int64, "running queued free head tail count room shut")
)
# Totals of what was learned. prompts: seen so far, law_prompts: when the law was last tabulated; law_width: step of its
# table; ends: requests that ended, refreshed: when the survival was last renewed; output_*: sums over the ended;
# stride: steps between the points of the window.
TOTALS = np.dtype(
    _fields(np.float64, "law_width law_mean output_sum output_squares output_count stride")
    + _fields(np.int64, "prompts law_prompts ends refreshed")
)
AGE = np.dtype(_fields(np.float64, "ended inside start width exposure"))


class Question(NamedTuple):
    """Who waits, who could be given it, and room for the answer.

    pool[:n]: rows of `requests` to be routed, oldest first; workers: kv, queued_kv, speed, running, queued, free and
    shut are read, level, count and room written; slots[g]: rows of the requests that run on worker g; step: now, to
    which their start_step is relative. may_wait: they wait in a central queue, and no worker may be given more than it
    has room for. answer[:n]: the worker of each, -1 where it is to wait on.
    """

    requests: Records
    pool: IntArray
    n: int
    workers: Records
    slots: IntArray
    step: int
    now_s: float
    may_wait: bool
    answer: IntArray


class Rule(NamedTuple):
    """How a policy answers: the address of its compiled function (`_decide_kernel`), and its parameters.

    at_once: it is asked once for all that are routed on arrival; chooses: once for all that wait in a central queue.
    Else once for each, in order of arrival. learns: from the outputs of requests that ended.
    """

    address: int
    at_once: bool
    chooses: bool
    learns: bool
    numbers: FloatArray


NO_RULE = Rule(0, at_once=False, chooses=False, learns=False, numbers=np.zeros(0))


class Prefixes(NamedTuple):
    """blocks: ids of prompts' blocks; tree[block, word]: bit set of workers that hold it; tokens [G]: in each tree."""

    blocks: IntArray
    block_tokens: int
    tree: npt.NDArray[np.uint64]
    tokens: FloatArray


class Ring(NamedTuple):
    """Consistent hashing: points on the circle, ascending, and the worker of each."""

    points: npt.NDArray[np.uint64]
    owners: IntArray


class Learned(NamedTuple):
    """recent: the last prompts; law: E[(S - x)+] at multiples of law_width. ages: per class the requests that ended in
    it, tokens they spent inside it; age_class: class of a number of tokens; survival[class, point]: chance to last.
    """

    totals: Records
    recent: FloatArray
    law: FloatArray
    ages: Records
    age_class: npt.NDArray[np.uint8]
    survival: FloatArray


class Window(NamedTuple):
    """Room to work in. loads[worker, point]: expected loads; sums: of count and KV by worker and age class."""

    loads: FloatArray
    sums: FloatArray


class Remembered(NamedTuple):
    """Everything a policy remembers from decision to decision; parts that it does not need are empty.

    own: its own numbers, zero at first; of_worker [G, k]: its own numbers of each worker. draws: numbers in [0, 1), of
    which the first drawn[0] are used.
    """

    own: FloatArray
    of_worker: FloatArray
    draws: FloatArray
    drawn: IntArray
    prefixes: Prefixes
    ring: Ring
    learned: Learned
    window: Window


def nothing_seen(
    needs: Needs, workers: int, blocks: IntArray | None = None, block_tokens: int = 0, keys: IntArray | None = None
) -> Remembered:
    """What a policy remembers that has seen nothing; blocks: ids from 0 of the prompt blocks that it will be shown.

    keys: see `Workers`.
    """
    ids = np.zeros(0, np.int64) if blocks is None else blocks
    distinct = int(ids.max()) + 1 if needs.trees and len(ids) else 0
    tree = np.zeros((distinct, (workers + 63) // 64), np.uint64)
    owners = np.arange(workers) if keys is None else keys
    return Remembered(
        own=np.zeros(needs.own),
        of_worker=np.zeros((workers, needs.of_worker)),
        draws=np.zeros(0),
        drawn=np.zeros(1, np.int64),
        prefixes=Prefixes(ids, block_tokens, tree, np.zeros(workers)),
        ring=_ring(needs.ring_points, owners),
        learned=_nothing_learned(needs.points) if needs.outputs else _NOTHING,
        window=Window(
            np.zeros((workers if needs.outputs else 0, needs.points)),
            np.zeros((workers if needs.running else 0, AGES, 2)),
        ),
    )


def _nothing_learned(points: int) -> Learned:
    ages = np.zeros(AGES, AGE)
    starts = [0.0, 1.0, 2.0, 3.0, *(2.0 ** (i / 4) for i in range(8, AGES + 5))]
    ages["start"], ages["width"] = starts[:AGES], np.diff(starts[: AGES + 1])
    age_class = np.searchsorted(starts[1:AGES], np.arange(LONGEST_AGE), side="right").astype(np.uint8)
    totals = np.zeros(1, TOTALS)
    totals["refreshed"] = -1
    return Learned(totals, np.zeros(RECENT), np.zeros(LAW_POINTS + 1), ages, age_class, np.ones((AGES, points)))


_NOTHING = Learned(
    np.zeros(0, TOTALS), np.zeros(0), np.zeros(0), np.zeros(0, AGE), np.zeros(0, np.uint8), np.zeros((0, 0))
)


def moved(known: Remembered, new: Remembered, stay: Sequence[tuple[int, int]]) -> Remembered:
    """A new memory with what is known of requests and of the workers that stay: each one's old and new place.

    A worker that comes has an empty tree, but is not behind the others by more than a tree that forgets can hold: else
    all that is new would go there until it had caught up with all that the others ever saw.
    """
    least = min((known.prefixes.tokens[old] for old, _ in stay), default=0.0)
    new.prefixes.tokens[:] = max(least - TREE_TOKENS, 0.0)
    for old, place in stay:
        new.prefixes.tokens[place] = known.prefixes.tokens[old]
        new.of_worker[place] = known.of_worker[old]
    tree = _moved_bits(known.prefixes.tree, stay, new.prefixes.tree.shape[1])
    kept = {name: getattr(known, name) for name in ("own", "draws", "drawn", "learned")}
    return new._replace(**kept, prefixes=new.prefixes._replace(tree=tree))


def _moved_bits(tree: npt.NDArray[np.uint64], stay: Sequence[tuple[int, int]], words: int) -> npt.NDArray[np.uint64]:
    """The tree with the bits of those that stay at their new places: all that move alike at once."""
    masks: dict[tuple[int, int, int], int] = defaultdict(int)
    for old, place in stay:
        masks[old // 64, place // 64, place % 64 - old % 64] |= 1 << old % 64
    bits = np.zeros((len(tree), words), np.uint64)
    for (word, other, up), mask in masks.items():
        held = tree[:, word] & np.uint64(mask)
        bits[:, other] |= held << np.uint64(up) if up >= 0 else held >> np.uint64(-up)
    return bits


def mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """A hash of each value (the finaliser of splitmix64, Steele, Lea and Flood 2014)."""
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _ring(points_each: int, keys: IntArray) -> Ring:
    """So many points a worker: they follow from its key alone."""
    owners = np.repeat(np.arange(len(keys)), points_each)
    first = keys.view(np.uint64) * np.uint64(points_each) + np.uint64(1 << 40)
    points = mixed(np.add.outer(first, np.arange(points_each, dtype=np.uint64)).ravel())
    order = np.argsort(points)
    return Ring(points[order], owners[order].astype(np.int64))
