"""JSON as one object per line, whatever the file looks like, and its objects where a form needs them whole."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from shadowprice.errors import TraceError
from shadowprice.workload.readers.client import ClientForm, Document, client_parts, client_table
from shadowprice.workload.readers.formats import Parts
from shadowprice.workload.readers.json_entries import as_lines, decoded, split_entries
from shadowprice.workload.readers.jsonl_rows import decode_line
from shadowprice.workload.readers.source import Block
from shadowprice.workload.readers.table import Table


def is_json(head: Block) -> bool:
    """Whether the file begins as JSON does."""
    return head.data.lstrip()[:1] in (b"{", b"[")


def object_lines(path: Path, head: Block, blocks: Iterator[Block]) -> Iterator[Block]:
    """The file's objects, one per line: as they are, or of an array, or each over many lines (then read whole)."""
    if head.data.lstrip().startswith(b"["):
        entries = split_entries(b"".join(block.data for block in chain([head], blocks)))
        if not entries or decoded(entries[0][1]) is None:
            raise TraceError(f"{path}:1: a JSON array; expected one JSON object per line, or CSV, or Parquet")
        return iter([Block(1, as_lines(entries))])
    first = next(line for line in head.data.split(b"\n") if line.strip())
    if decoded(first) is not None:
        return chain([head], blocks)
    everything = b"".join(block.data for block in chain([head], blocks))
    entries = split_entries(everything)
    return iter([Block(1, everything if entries is None else as_lines(entries))])


def first_object(path: Path, head: Block, *, skip_bad_rows: bool) -> Document:
    """The first line; where bad rows are to be skipped, the first that is a JSON object."""
    for line, found in _objects(path, head, skip_bad_rows):
        if found is not None:
            return line, found
    raise TraceError(f"{path}: no line of it is a JSON object; expected one per line")


def documents(path: Path, blocks: Iterator[Block], *, skip_bad_rows: bool) -> tuple[list[Document], int]:
    """Every object with its line, and how many lines are none, where these are to be skipped."""
    found = [entry for block in blocks for entry in _objects(path, block, skip_bad_rows)]
    good = [(line, thing) for line, thing in found if thing is not None]
    return good, len(found) - len(good)


def read_client(path: Path, blocks: Iterator[Block], form: ClientForm, *, skip_bad_rows: bool) -> tuple[Table, int]:
    """The requests of a load generator's file, and how many were left out since they failed."""
    objects, bad = documents(path, blocks, skip_bad_rows=skip_bad_rows)
    return client_table(path, objects, form, skip_bad_rows=skip_bad_rows, skipped=bad)


def client_trace(path: Path, blocks: Iterator[Block], form: ClientForm, *, skip_bad_rows: bool) -> Parts:
    """The trace's columns of such a file."""
    table, left_out = read_client(path, blocks, form, skip_bad_rows=skip_bad_rows)
    return client_parts(table, left_out, form)


def _objects(path: Path, block: Block, skip: bool) -> Iterator[tuple[int, dict[str, Any] | None]]:
    decoder = msgspec.json.Decoder(dict[str, Any])
    for line, data in enumerate(block.data.removesuffix(b"\n").split(b"\n"), block.first_line):
        if not data.strip():
            continue  # a blank line holds no request
        try:
            yield line, decode_line(path, line, data, decoder)
        except TraceError:
            if not skip:
                raise
            yield line, None
