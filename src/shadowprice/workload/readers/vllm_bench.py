"""`vllm bench serve --save-result --save-detailed` (SGLang's bench_serving and others write the same lists).

One object with a list per measure; several runs appended are several objects. `start_times` are seconds of the client's
clock, `ttfts` and `itls` (times between tokens) follow them.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from shadowprice.errors import TraceError
from shadowprice.workload.readers.client import ClientForm, Document, Sent, after

LISTS = ("input_lens", "output_lens", "ttfts", "itls", "start_times", "errors")


def _sent(path: Path, documents: Sequence[Document]) -> Iterator[tuple[int, Sent | None]]:
    for line, run in documents:
        lists = {name: run[name] for name in LISTS if isinstance(run.get(name), list) and run[name]}
        requests = len(lists.get("input_lens", ()))
        for name, values in lists.items():
            if len(values) != requests:
                raise TraceError(f"{path}:{line}: {name} has {len(values)} entries; expected {requests}, as input_lens")
        if requests and "output_lens" not in lists:
            raise TraceError(f"{path}:{line}: output_lens is not there; expected {requests} entries, as input_lens has")
        for i in range(requests):
            yield line, _request(path, line, run, lists, i)


def _request(path: Path, line: int, run: dict[str, Any], lists: dict[str, list[Any]], i: int) -> Sent | None:
    output = lists["output_lens"][i]
    failed = "errors" in lists and lists["errors"][i] not in ("", None)
    if failed or output == 0:
        return None
    start = lists["start_times"][i] if "start_times" in lists else _all_at_once(path, line, run)
    first = after(start, lists["ttfts"][i]) if "ttfts" in lists else None
    gaps = lists["itls"][i] if "itls" in lists else None
    between = math.fsum(gap for gap in gaps if isinstance(gap, int | float)) if isinstance(gaps, list) else None
    return Sent(start, lists["input_lens"][i], output, first, after(first, between), at=f"request {i}")


def _all_at_once(path: Path, line: int, run: dict[str, Any]) -> float:
    """The start of every request of a run that says nothing of starts, if it sent all of them at once."""
    if run.get("request_rate") in ("inf", math.inf) and run.get("max_concurrency") is None:
        return 0.0
    raise TraceError(
        f"{path}:{line}: start_times is not there, so it is not known when requests were sent; expected what "
        "`vllm bench serve --save-result --save-detailed` writes since vLLM 0.9"
    )


VLLM_BENCH = ClientForm(
    "vllm bench serve", "start_times in seconds, as the client sent them", ("input_lens", "output_lens"), _sent
)
