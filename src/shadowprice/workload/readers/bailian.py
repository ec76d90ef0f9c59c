"""Qwen-Bailian traces (github.com/alibaba-edu/qwen-bailian-usagetraces-anon, Apache-2.0; Wang et al., ATC 2025).

Seconds, lengths, a hash per block of 16 prompt tokens, and the chat that a turn goes on with (-1: none). The chats that
hang together are one session.
"""

from typing import Annotated, Any

import msgspec
import numpy as np

from shadowprice.arrays import IntArray
from shadowprice.workload.readers.formats import JsonlFormat, Options, Parts, spread
from shadowprice.workload.readers.prefix_blocks import with_block_tokens
from shadowprice.workload.readers.table import Hash, Table, TokenCount

BLOCK_TOKENS = 16
LATEST_S = 1e11


class BailianRow(msgspec.Struct):
    """One line of a Qwen-Bailian trace."""

    chat_id: Hash
    parent_chat_id: Hash
    timestamp: Annotated[float, msgspec.Meta(ge=0, le=LATEST_S)]
    input_length: TokenCount
    output_length: TokenCount
    type: str | None = None
    turn: int | None = None
    hash_ids: list[Hash] | None = None


def _build(table: Table, options: Options) -> Parts:
    notes: list[str] = []
    columns: dict[str, Any] = {}
    if "hash_ids" in table.columns:
        table, size, said = with_block_tokens(table, "input_length", "hash_ids", BLOCK_TOKENS, options)
        columns |= {"prefix": table.ragged("hash_ids"), "prefix_block_tokens": size}
        notes.append(said)
    arrival_s, spread_notes = spread(table.array("timestamp"), options)
    columns |= {
        "arrival_s": arrival_s,
        "prompt_tokens": table.array("input_length"),
        "output_tokens": table.array("output_length"),
        "session": sessions(table.array("chat_id"), table.array("parent_chat_id")),
    }
    return Parts(table, columns, spread_notes + notes)


def sessions(chat: IntArray, parent: IntArray) -> IntArray:
    """The session of each turn, 0, 1, ... in order of its first: chats that are linked, also by one not in the file."""
    root: dict[int, int] = {}

    def find(one: int) -> int:
        path = []
        while root.setdefault(one, one) != one:
            path.append(one)
            one = root[one]
        for passed in path:
            root[passed] = one
        return one

    for this, before in zip(chat.tolist(), parent.tolist(), strict=True):
        if before >= 0:
            root[find(this)] = find(before)
        else:
            find(this)
    code: dict[int, int] = {}
    return np.array([code.setdefault(find(this), len(code)) for this in chat.tolist()], dtype=np.int64)


BAILIAN = JsonlFormat("Qwen-Bailian JSONL", BailianRow, _build, times="timestamp in seconds")
