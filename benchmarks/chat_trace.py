"""The chat trace that several benchmarks take: Azure 2023, from ../shared/data or, where that is not, as published."""

from pathlib import Path

from shadowprice.workload import Trace, read_trace

FILE = Path(__file__).resolve().parents[2] / "shared" / "data" / "azure2023_conv.csv"


def chat_trace(other: str | None = None) -> Trace:
    """19,366 requests of an hour, or another trace. Raises TraceError where it is neither there nor can be had."""
    return read_trace(other or (FILE if FILE.exists() else "azure-2023-conv"))
