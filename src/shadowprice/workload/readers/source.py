"""Bytes of a trace file as blocks of whole lines, decompressed on the way."""

import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa

from shadowprice.errors import TraceError

BLOCK_BYTES = 16 << 20
LONGEST_LINE_BYTES = 64 << 20
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
PARQUET_MAGIC = b"PAR1"
UTF8_BOM = b"\xef\xbb\xbf"
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Block:
    """Whole lines of a file: `data` begins at line `first_line` (the file's first line is 1)."""

    first_line: int
    data: bytes


def first_bytes(path: Path, count: int = 8) -> bytes:
    """The file's leading bytes; TraceError where the file cannot be read or is empty."""
    try:
        with path.open("rb") as file:
            head = file.read(count)
    except FileNotFoundError as error:
        raise TraceError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        raise TraceError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not head:
        raise TraceError(f"{path}: the file is empty; expected a trace")
    return head


def line_blocks(path: Path) -> Iterator[Block]:
    """The file's text in blocks of about BLOCK_BYTES, cut at line ends; gzip and zstd are told by their magic bytes."""
    line, rest = 1, b""
    try:
        with _open(path) as file:
            while piece := file.read(BLOCK_BYTES):
                if line == 1 and not rest:
                    piece = _without_byte_order_mark(path, piece)
                rest += piece
                end = rest.rfind(b"\n") + 1
                if end:
                    yield Block(line, rest[:end])
                    line += rest.count(b"\n", 0, end)
                    rest = rest[end:]
                elif len(rest) > LONGEST_LINE_BYTES:
                    raise TraceError(f"{path}:{line}: a line of more than {LONGEST_LINE_BYTES >> 20} MiB; not a trace")
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        raise TraceError(f"{path}:{line}: the file is damaged or cut off after this line ({error})") from error
    if rest:
        yield Block(line, rest)


def _open(path: Path) -> IO[bytes] | gzip.GzipFile:
    head = first_bytes(path)
    if head.startswith(GZIP_MAGIC):
        return gzip.open(path, "rb")
    if head.startswith(ZSTD_MAGIC):
        return pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")
    return io.FileIO(path)


def _without_byte_order_mark(path: Path, piece: bytes) -> bytes:
    if piece.startswith(UTF16_BOMS) or piece[1:2] == b"\0":
        raise TraceError(f"{path}:1: byte 0: the text is UTF-16; expected UTF-8 (save the file again as UTF-8)")
    return piece.removeprefix(UTF8_BOM)
