"""What the routing kernels work on: record arrays of requests and workers, a policy's rules, and what it remembers."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from shadowprice.arrays import FloatArray, IntArray

Table = npt.NDArray[np.void]

# how a policy decides: the codes of `pick` (one request at a time, in order of arrival), then those that look at all
(
    ROUND_ROBIN,
    RANDOM,
    POWER_OF_TWO,
    CONSISTENT_HASH,
    CACHE_AWARE,
    JOIN_SHORTEST_QUEUE,
    LEAST_KV,
    VLLM_INTERNAL,
    BR_0,
    JOINT,
) = range(10)
DRAWS = {RANDOM: 1, POWER_OF_TWO: 2, JOIN_SHORTEST_QUEUE: 1}  # random numbers that a request needs at most
NO_FORECAST, LEARNED, PREDICTED = 0, 1, 2  # where a window of expected loads comes from

RECENT = 1024  # prompts whose law prices the holes
LAW_POINTS = 256  # of the tabulated excess function
AGES = 64  # geometric classes of tokens generated, a quarter of an octave each
LONGEST_AGE = 1 << 17  # tokens from which on all ages are one class
TREE_TOKENS = 1 << 24  # in SGLang's tree of a worker at most: 2^26 characters


class Rules(NamedTuple):
    """A policy's parameters; each policy reads its own. Described where the policies are."""

    code: int
    virtual_nodes: int = 0
    cache_threshold: float = 0.0
    balance_abs: float = 0.0
    balance_rel: float = 0.0
    waiting_weight: float = 0.0
    refresh_s: float = 0.0
    from_pool: bool = False
    most_passes: int = 0
    holes: int = 0
    price: float = 0.0
    tie: float = 0.0
    growth_tie: float = 0.0
    to_maximum: bool = False
    forecast: int = NO_FORECAST
    points: int = 1
    stride: float = 0.0  # steps; negative: from what is learned
    discount: float = 1.0
    prefill_kv_tokens: float = 0.0
    fixed_kv_tokens: float = 0.0


def typed(rules: Rules) -> Rules:
    """The same rules with every number of its field's type, as the compiled code takes it."""
    kinds = [int, *(type(default) for default in Rules._field_defaults.values())]
    return Rules(*(kind(value) for kind, value in zip(kinds, rules, strict=True)))


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
# What a policy remembers of each worker: counts as last published, tokens of its prefix tree.
SEEN = np.dtype(_fields(np.float64, "running waiting tree_tokens"))
# What else it remembers. turn: of round robin; prompts: seen so far, law_prompts: when the law was last tabulated;
# law_width: step of its table; ends: requests that ended, refreshed: when the survival was last renewed; output_*: sums
# over the ended; stride: steps between the points of the window.
NOTES = np.dtype(
    _fields(np.float64, "snapshot_s law_width law_mean output_sum output_squares output_count stride")
    + _fields(np.int64, "turn prompts law_prompts ends refreshed")
)
AGE = np.dtype(_fields(np.float64, "ended inside start width exposure"))


class Memory(NamedTuple):
    """Everything a policy remembers, and room to work in.

    recent: the last prompts; law: E[(S - x)+] at multiples of law_width. ages: per class the requests that ended in
    it, tokens they spent inside it; age_class: class of a number of tokens; survival[class, point]: chance to last.
    blocks: ids of the prompt blocks; tree[block, word]: bit set of workers that hold it. ring, owners: consistent
    hashing. window[worker, point]: expected loads; sums: of count and KV by age class.
    """

    notes: Table
    seen: Table
    recent: FloatArray
    law: FloatArray
    ages: Table
    age_class: npt.NDArray[np.uint8]
    survival: FloatArray
    blocks: IntArray
    block_tokens: int
    tree: npt.NDArray[np.uint64]
    ring: npt.NDArray[np.uint64]
    owners: IntArray
    window: FloatArray
    sums: FloatArray


def new_memory(rules: Rules, workers: int, blocks: IntArray, block_tokens: int, keys: IntArray | None = None) -> Memory:
    """A policy that has seen nothing; blocks: ids from 0 of the prompt blocks it will be shown; keys: see `Workers`."""
    ages = np.zeros(AGES, AGE)
    starts = [0.0, 1.0, 2.0, 3.0, *(2.0 ** (i / 4) for i in range(8, AGES + 5))]
    ages["start"], ages["width"] = starts[:AGES], np.diff(starts[: AGES + 1])
    age_class = np.searchsorted(starts[1:AGES], np.arange(LONGEST_AGE), side="right").astype(np.uint8)
    ring, owners = _ring(rules.virtual_nodes, np.arange(workers) if keys is None else keys)
    words = (workers + 63) // 64
    distinct = int(blocks.max()) + 1 if len(blocks) else 0
    tree = np.zeros((distinct if rules.code == CACHE_AWARE or rules.prefill_kv_tokens > 0 else 0, words), np.uint64)
    notes = np.zeros(1, NOTES)
    notes["snapshot_s"] = -np.inf
    notes["refreshed"] = -1
    return Memory(
        notes,
        np.zeros(workers, SEEN),
        np.zeros(RECENT),
        np.zeros(LAW_POINTS + 1),
        ages,
        age_class,
        np.ones((AGES, rules.points)),
        blocks,
        block_tokens,
        tree,
        ring,
        owners,
        np.zeros((workers, rules.points)),
        np.zeros((workers, AGES, 2)),
    )


def moved(known: Memory, new: Memory, stay: Sequence[tuple[int, int]]) -> Memory:
    """A new memory with what is known of requests and of the workers that stay: each one's old and new place.

    A worker that comes has an empty tree, but is not behind the others by more than a tree that forgets can hold: else
    all that is new would go there until it had caught up with all that the others ever saw.
    """
    learned = {name: getattr(known, name) for name in ("notes", "recent", "law", "ages", "survival")}
    least = min((known.seen["tree_tokens"][old] for old, _ in stay), default=0.0)
    new.seen["tree_tokens"] = max(least - TREE_TOKENS, 0.0)
    for old, place in stay:
        new.seen[place] = known.seen[old]
    return new._replace(**learned, tree=_moved_bits(known.tree, stay, new.tree.shape[1]))


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


def _ring(virtual_nodes: int, keys: IntArray) -> tuple[npt.NDArray[np.uint64], IntArray]:
    """Points on the circle, sorted, and the worker of each: a worker's points follow from its key alone."""
    owners = np.repeat(np.arange(len(keys)), virtual_nodes)
    first = keys.view(np.uint64) * np.uint64(virtual_nodes) + np.uint64(1 << 40)
    points = mixed(np.add.outer(first, np.arange(virtual_nodes, dtype=np.uint64)).ravel())
    order = np.argsort(points)
    return points[order], owners[order].astype(np.int64)
