# mypy: allow-untyped-defs, allow-untyped-calls
"""How often was an item asked for, roughly: counters shared by hashes (a counting Bloom filter)."""

import math

import numpy as np
import numpy.typing as npt
from numba import uint32, uint64

from shadowprice.kernels import njit

ERROR = 0.001
SEEDS = (0x12345678, 0x12344321)
_P1, _P2, _P3, _P4, _P5 = (
    np.uint64(0x9E3779B185EBCA87),
    np.uint64(0xC2B2AE3D27D4EB4F),
    np.uint64(0x165667B19E3779F9),
    np.uint64(0x85EBCA77C2B2AE63),
    np.uint64(0x27D4EB2F165667C5),
)
PER_ENTRY = -math.log(ERROR) / math.log(2) ** 2
HASHES = math.ceil(math.log(2) * PER_ENTRY)


def new_sketch(entries: int) -> npt.NDArray[np.uint32]:
    """Counters for about so many items, uint32."""
    counters = math.ceil(PER_ENTRY * entries)
    return np.zeros(counters if counters >= HASHES else 2 * HASHES, np.uint32)


@njit(cache=True)
def xxh64_of_number(number, seed):
    """xxHash64 of the eight bytes of a number (little-endian)."""
    word = uint64(number) * _P2
    word = ((word << uint64(31)) | (word >> uint64(33))) * _P1
    h = (uint64(seed) + _P5 + uint64(8)) ^ word
    h = ((h << uint64(27)) | (h >> uint64(37))) * _P1 + _P4
    h = (h ^ (h >> uint64(33))) * _P2
    h = (h ^ (h >> uint64(29))) * _P3
    return h ^ (h >> uint64(32))


@njit(cache=True)
def count_of(sketch, v):
    """The least of the item's counters."""
    a, b = uint32(xxh64_of_number(v, SEEDS[0])), uint32(xxh64_of_number(v, SEEDS[1]))
    least = uint32(0xFFFFFFFF)
    for i in range(HASHES):
        least = min(least, sketch[uint32(a + uint32(uint32(i) * b)) % uint32(len(sketch))])
    return least


@njit(cache=True)
def count(sketch, v):
    """Add one to all of the item's counters."""
    a, b = uint32(xxh64_of_number(v, SEEDS[0])), uint32(xxh64_of_number(v, SEEDS[1]))
    for i in range(HASHES):
        sketch[uint32(a + uint32(uint32(i) * b)) % uint32(len(sketch))] += uint32(1)
