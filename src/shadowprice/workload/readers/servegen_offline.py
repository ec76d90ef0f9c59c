"""ServeGen's offline traces (github.com/alibaba/ServeGen, data/offline; Yang et al., SOSP 2026): batches, no arrivals.

A batch is handed in whole: all its requests are there from the start, in the order of `request_id`. Some files have the
prompts' hashes (blocks of 16 tokens) and no output lengths, the others output lengths and no hashes.
"""

from typing import Any

import msgspec
import numpy as np

from shadowprice.workload.readers.formats import JsonlFormat, Options, Parts
from shadowprice.workload.readers.prefix_blocks import with_block_tokens
from shadowprice.workload.readers.table import Hash, Table, TokenCount

BLOCK_TOKENS = 16


class OfflineRow(msgspec.Struct):
    """One request of a batch."""

    request_id: Hash
    type: str
    input_length: TokenCount
    output_length: TokenCount | None = None
    hash_ids: list[Hash] | None = None


def _build(table: Table, options: Options) -> Parts:
    notes: list[str] = []
    columns: dict[str, Any] = {}
    if "hash_ids" in table.columns:
        table, size, said = with_block_tokens(table, "input_length", "hash_ids", BLOCK_TOKENS, options)
        columns |= {"prefix": table.ragged("hash_ids"), "prefix_block_tokens": size}
        notes.append(said)
    if "output_length" in table.columns:
        output = table.array("output_length")
    else:
        output = np.ones(len(table), dtype=np.int64)
        notes.append("the file holds no output lengths: one token each, so times are those of the prompts alone")
    columns |= {
        "arrival_s": np.zeros(len(table)),
        "prompt_tokens": table.array("input_length"),
        "output_tokens": output,
    }
    return Parts(table, columns, notes)


SERVEGEN_OFFLINE = JsonlFormat(
    "ServeGen offline JSONL",
    OfflineRow,
    _build,
    times="a batch without arrivals, all at 0",
    excluded=("timestamp", "chat_id", "parent_chat_id"),
)
