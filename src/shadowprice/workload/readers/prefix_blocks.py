"""How many tokens a block of prefix hashes holds, where a file does not say: what its lengths allow."""

import numpy as np

from shadowprice.arrays import BoolArray, IntArray
from shadowprice.errors import TraceError
from shadowprice.workload.readers.formats import Options
from shadowprice.workload.readers.table import Table

LARGEST = 1 << 16  # tokens of a block
ENOUGH = 10  # prompts of several blocks from which a size that is not needed is believed
MOST_TRIED = 1000  # sizes; of more, the powers of two
MOSTLY = 0.9  # share of rows that a size must explain where bad rows are to be skipped
FLAG = "or give the size of a block: --block-tokens (block_tokens=)"


def with_block_tokens(table: Table, length: str, hashes: str, usual: int, options: Options) -> tuple[Table, int, str]:
    """The rows whose hashes fit their prompt, the tokens of a block, and how that is known, in words for the notes.

    length, hashes: the columns. usual: of the form. A given size comes first, then the usual one where it explains
    every prompt's number of hashes, then the one size that does, then the usual again, which must then be large enough
    for every row. Raises TraceError for a row with more hashes than blocks, unless such rows are to be skipped.
    """
    tokens, blocks = table.array(length), np.diff(table.ragged(hashes).offsets)
    size, how = usual, "as usual in this form"
    if options.block_tokens is not None:
        size, how = options.block_tokens, "as given"
    elif _explained(usual, tokens, blocks) < len(tokens):
        found = _inferred(tokens, blocks, MOSTLY if table.skip_bad_rows else 1.0)
        roomy = bool(np.all(blocks <= -(-tokens // usual)))
        if found is not None and not (roomy and np.count_nonzero(blocks >= 2) < ENOUGH):
            size, how = found, "inferred from the lengths"
    fits: BoolArray = blocks <= -(-tokens // size)
    table = table.require(fits, hashes, f"at most one hash per {size} tokens of {length}, {FLAG}")
    return table, size, f"prefix hashes of blocks of {size} tokens, {how}"


def check_block_tokens(block_tokens: int | None) -> None:
    """Raise TraceError for a size that no block has."""
    if block_tokens is not None and not 1 <= block_tokens <= LARGEST:
        raise TraceError(f"block_tokens is {block_tokens}; expected a whole number from 1 to {LARGEST}")


def _explained(size: int, tokens: IntArray, blocks: IntArray) -> int:
    """How many prompts have a hash per block of this size, the last, partly filled one always hashed or never."""
    return int(max(np.count_nonzero(blocks == -(-tokens // size)), np.count_nonzero(blocks == tokens // size)))


def _inferred(tokens: IntArray, blocks: IntArray, share: float) -> int | None:
    """The one size that explains this share of the prompts; the one power of two, where several sizes do."""
    several = np.flatnonzero(blocks >= 2)
    if len(several) == 0:
        return None
    # around tokens / blocks of the longest prompts, which leave the fewest sizes open
    longest = several[np.argsort(blocks[several])[-ENOUGH:]]
    least = int((tokens[longest] // (blocks[longest] + 1)).min())
    most = int((-(-tokens[longest] // (blocks[longest] - 1))).max())
    sizes = range(max(least, 1), min(most, LARGEST) + 1)
    tried = list(sizes) if len(sizes) <= MOST_TRIED else [1 << k for k in range(17)]
    good = [size for size in tried if _explained(size, tokens, blocks) >= share * len(tokens)]
    powers = [size for size in good if size & (size - 1) == 0]
    return powers[0] if len(powers) == 1 else good[0] if len(good) == 1 else None
