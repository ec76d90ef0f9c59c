"""JSON that is not one object per line: an array, an object over many lines, several of these; each with its line."""

from collections.abc import Iterable

import msgspec

Entry = tuple[int, bytes]  # the line on which an object begins, and its text


def split_entries(data: bytes) -> list[Entry] | None:
    """The objects of an array, the one object, or objects that each begin a line; None where it is none of these."""
    try:
        if data.lstrip().startswith(b"["):
            return _with_lines(data, [bytes(raw) for raw in msgspec.json.decode(data, type=list[msgspec.Raw])])
        msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        return _with_lines(data, [data.strip()])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None if data.lstrip().startswith(b"[") else _objects(data)


def decoded(entry: bytes) -> dict[str, object] | None:
    """The object; None where it is none."""
    try:
        return msgspec.json.decode(entry, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def as_lines(entries: Iterable[Entry]) -> bytes:
    """The objects as one per line, each on the line where it begins if that can be (two may begin on one)."""
    lines, now = [], 1
    for line, text in entries:
        lines.append(b"\n" * max(line - now, 0) + text.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n")
        now = max(line, now) + 1
    return b"".join(lines)


def _objects(data: bytes) -> list[Entry] | None:
    """Objects over several lines, one after the other, as a console prints them; each begins and ends a line."""
    lines = data.split(b"\n")
    starts = [number for number, line in enumerate(lines) if line.startswith(b"{")]
    if not starts or any(line.strip() for line in lines[: starts[0]]):
        return None
    texts = [b"\n".join(lines[begin:end]) for begin, end in zip(starts, [*starts[1:], len(lines)], strict=True)]
    if any(b"\n" not in text.strip() for text in texts) or any(decoded(text) is None for text in texts):
        return None
    return [(number + 1, text.strip()) for number, text in zip(starts, texts, strict=True)]


def _with_lines(data: bytes, texts: list[bytes]) -> list[Entry]:
    entries, at, line = [], 0, 1
    for text in texts:
        begin = data.index(text, at)
        line += data.count(b"\n", at, begin)
        entries.append((line, text))
        line += text.count(b"\n")
        at = begin + len(text)
    return entries
