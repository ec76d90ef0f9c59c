# mypy: allow-untyped-defs, allow-untyped-calls
"""Token curves in kernels, which take them as their four numbers (TokenCurve.numbers)."""

import math

from shadowprice.fleet.worker import ROUNDING
from shadowprice.kernels import njit


@njit(cache=True)
def curve(numbers, tokens):
    """KV tokens of a sequence of so many tokens, at least one."""
    return numbers[0] + numbers[1] * tokens + numbers[2] * min(float(tokens), numbers[3])


@njit(cache=True)
def curve_blocks(numbers, tokens, block_size):
    """Blocks that hold a sequence of so many tokens; none where it has none."""
    if tokens <= 0:
        return 0
    return math.ceil(curve(numbers, tokens) / block_size - ROUNDING)
