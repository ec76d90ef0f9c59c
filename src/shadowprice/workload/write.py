"""Writing a trace in our own form; `read_trace` gives every column back exactly."""

import gzip
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet

from shadowprice.errors import TraceError
from shadowprice.workload.readers.own import COLUMNS
from shadowprice.workload.trace import Ragged, Trace

ACCEPTED = ".parquet, .csv or .jsonl, the last two also with .gz or .zst"
ROWS_AT_ONCE = 65536


def write_trace(trace: Trace, path: str | Path) -> None:
    """Write the trace's columns as Parquet, CSV or JSONL, by the ending of `path`.

    The file appears whole or not at all. What is not a column (name, notes, skipped_rows) is not written.

    Parameters
    ----------
    trace : Trace
        What to write.
    path : str or Path
        Ends in .parquet, .csv or .jsonl; .gz and .zst pack the last two.

    Raises
    ------
    TraceError
        Where the ending is unknown or the file cannot be written.
    """
    path = Path(path)
    endings = path.suffixes
    packing = endings.pop() if endings and endings[-1] in (".gz", ".zst") else ""
    ending = endings[-1] if endings else ""
    if ending not in (".parquet", ".csv", ".jsonl") or (ending == ".parquet" and packing):
        raise TraceError(f"{path}: unknown ending; expected {ACCEPTED}")
    table = _arrow_table(trace)
    try:
        with _whole_or_not_at_all(path) as partial:
            if ending == ".parquet":
                parquet.write_table(table, partial, compression="zstd")
            else:
                with _packed(partial, packing) as file:
                    _write_csv(table, file) if ending == ".csv" else _write_jsonl(table, file)
    except OSError as error:
        raise TraceError(f"{path}: cannot be written: {error.strerror or error}") from error


def _arrow_table(trace: Trace) -> Any:
    columns: dict[str, Any] = {}
    for column in COLUMNS:
        values = getattr(trace, column.name)
        if column.name == "prefix_block_tokens":
            values = None if trace.prefix is None else np.full(len(trace), values, dtype=np.int64)
        if isinstance(values, Ragged):
            columns[column.name] = pa.LargeListArray.from_arrays(values.offsets, values.values)
        elif values is not None:
            columns[column.name] = pa.array(values)
    return pa.table(columns)


def _write_csv(table: Any, file: Any) -> None:
    for i, name in enumerate(table.column_names):
        column = table[name]
        if pa.types.is_large_list(column.type):
            text = column.combine_chunks().cast(pa.large_list(pa.large_string()))
            table = table.set_column(i, name, pc.binary_join(text, pa.scalar(";", pa.large_string())))
    arrow_csv.write_csv(table, file, arrow_csv.WriteOptions(quoting_style="needed", quoting_header="none"))


def _write_jsonl(table: Any, file: Any) -> None:
    encoder = msgspec.json.Encoder()
    for batch in table.to_batches(max_chunksize=ROWS_AT_ONCE):
        file.write(encoder.encode_lines(batch.to_pylist()))


@contextmanager
def _packed(path: Path, packing: str) -> Iterator[Any]:
    if packing == ".gz":
        # no file name and no time in the header: the same trace gives the same bytes
        with path.open("wb") as raw, gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as file:
            yield file
    elif packing == ".zst":
        with pa.output_stream(str(path), compression="zstd") as file:
            yield file
    else:
        with path.open("wb") as file:
            yield file


@contextmanager
def _whole_or_not_at_all(path: Path) -> Iterator[Path]:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(0o666 & ~_umask())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
