"""Arrow's threads may hold a CSV's bytes longer than the reading takes, so these must not be the interpreter's."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from shadowprice.workload.readers import csv_rows
from shadowprice.workload.readers.source import Block
from shadowprice.workload.readers.table import Column


def test_arrow_reads_memory_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends while a thread drops a Python object's last reference is aborted, with exit code 134."""
    data = b"1,2\n3,4\n" * 100
    held: list[int] = []
    read = csv_rows.arrow_csv.read_csv

    def spied(source: pa.BufferReader, **options: Any) -> pa.Table:
        held.append(source.read_buffer().address)
        source.seek(0)
        return read(source, **options)

    monkeypatch.setattr(csv_rows.arrow_csv, "read_csv", spied)
    columns = [Column("a", "whole"), Column("b", "whole")]
    table = csv_rows._read_fast(Path("small.csv"), Block(1, data), ["a", "b"], columns, skip=False)
    assert table is not None and table.columns["b"].tolist() == [2, 4] * 100
    assert held and held[0] != pa.py_buffer(data).address
