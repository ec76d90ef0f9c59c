"""Mooncake traces (github.com/kvcache-ai/Mooncake, FAST25-release, Apache-2.0; Qin et al., FAST 2025).

Milliseconds, lengths, and a hash per block of 512 prompt tokens (the last block may be partly filled).
"""

from typing import Annotated

import msgspec
import numpy as np

from shadowprice.workload.readers.formats import JsonlFormat, Options, Parts, spread
from shadowprice.workload.readers.table import MOST_TOKENS, Table

BLOCK_TOKENS = 512
LATEST_MS = 1e14

TokenCount = Annotated[int, msgspec.Meta(ge=1, le=MOST_TOKENS)]
Hash = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class MooncakeRow(msgspec.Struct):
    """One line of a Mooncake trace."""

    timestamp: Annotated[float, msgspec.Meta(ge=0, le=LATEST_MS)]
    input_length: TokenCount
    output_length: TokenCount
    hash_ids: list[Hash]


def _build(table: Table, options: Options) -> Parts:
    blocks = np.diff(table.ragged("hash_ids").offsets)
    fits = blocks <= -(-table.array("input_length") // BLOCK_TOKENS)
    table = table.require(fits, "hash_ids", f"at most one hash per {BLOCK_TOKENS} tokens of input_length")
    arrival_s, notes = spread(table.array("timestamp"), options)
    columns = {
        "arrival_s": arrival_s,
        "prompt_tokens": table.array("input_length"),
        "output_tokens": table.array("output_length"),
        "prefix": table.ragged("hash_ids"),
        "prefix_block_tokens": BLOCK_TOKENS,
    }
    return Parts(table, columns, notes)


MOONCAKE = JsonlFormat("Mooncake JSONL", MooncakeRow, _build)
