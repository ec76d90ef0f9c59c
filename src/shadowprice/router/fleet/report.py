"""What a worker's metrics say: requests there, use and size of its KV memory; of vLLM, SGLang and TensorRT-LLM.

The size in tokens is what an engine calls so, where it does. Blocks times their size are tokens where every layer keeps
every token: in hybrid models (state-space layers, sliding windows) blocks are shared by layers of several kinds, and
their number says little. Then nothing is better than a wrong size.
"""

import math
import re
from typing import NamedTuple

MOST_REQUESTS, MOST_TOKENS = 1 << 20, 1 << 40  # what a worker reports beyond these is taken as these
LABELS = rb"(\{[^}\n]*\})?"
SAMPLE = rb" ([0-9.eE+-]+|NaN)"


def _samples(name: bytes, label: bytes = b"") -> re.Pattern[bytes]:
    """Labels and value of each sample of a metric, or of those that have this label."""
    labels = rb"(\{[^}\n]*%b[^}\n]*\})" % label if label else LABELS
    return re.compile(rb"^%b%b%b" % (name, labels, SAMPLE), re.MULTILINE)


RUNNING = (
    _samples(rb"(?:vllm|sglang):num_(?:requests_running|running_reqs)"),
    _samples(rb"trtllm_num_requests_running"),
    _samples(rb"nv_trt_llm_request_metrics", rb'request_type="scheduled"'),
)
WAITING = (
    _samples(rb"(?:vllm|sglang):num_(?:requests_waiting|queue_reqs)"),
    _samples(rb"trtllm_num_requests_waiting"),
    _samples(rb"nv_trt_llm_request_metrics", rb'request_type="waiting"'),
)
USAGE = (
    _samples(rb"(?:vllm|sglang):(?:kv_cache_usage_perc|gpu_cache_usage_perc|token_usage)"),
    _samples(rb"trtllm_kv_cache_utilization"),
    _samples(rb"nv_trt_llm_kv_cache_block_metrics", rb'kv_cache_block_type="fraction"'),
)
CAPACITY = _samples(rb"sglang:max_total_num_tokens")
CONFIG = re.compile(rb"^(?:vllm|sglang):cache_config_info(\{[^}\n]*\})", re.MULTILINE)
TOKENS = re.compile(rb'[{,]kv_cache_size_tokens="(\d{1,12})"')
BLOCKS = re.compile(rb'[{,](?:num_gpu_blocks|num_pages)="(\d{1,12})"')
BLOCK_SIZE = re.compile(rb'[{,](?:block_size|page_size)="(\d{1,12})"')
HYBRID = re.compile(rb'[{,](?:mamba_block_size|mamba_page_size_padded|sliding_window)="\d')
OF_TENSORRT = (  # blocks, and the tokens of one
    (_samples(rb"trtllm_kv_cache_max_blocks"), _samples(rb"trtllm_kv_cache_tokens_per_block")),
    (
        _samples(rb"nv_trt_llm_kv_cache_block_metrics", rb'kv_cache_block_type="max"'),
        _samples(rb"nv_trt_llm_kv_cache_block_metrics", rb'kv_cache_block_type="tokens_per"'),
    ),
)
ENGINE = re.compile(rb'[{,](?:engine|dp_rank)="(\d{1,9})"')


class Report(NamedTuple):
    """requests: running and waiting. usage: share of KV memory. None for what the text does not say.

    source: what the capacity was read from, or why there is none.
    """

    requests: float | None
    usage: float | None
    capacity_tokens: int | None
    source: str


def read_report(text: bytes, rank: int | None) -> Report:
    """What the text says of a rank, as it labels it, or None for all together."""
    running, waiting = _first(RUNNING, text, rank), _first(WAITING, text, rank)
    requests = None if running is None else min(running + (waiting or 0.0), MOST_REQUESTS)
    usage = _first(USAGE, text, rank, mean=True)
    tokens, source = _capacity(text, rank)
    return Report(requests, None if usage is None else min(usage, 1.0), min(tokens, MOST_TOKENS) or None, source)


def _first(
    patterns: tuple[re.Pattern[bytes], ...], text: bytes, rank: int | None, *, mean: bool = False
) -> float | None:
    """The value of the first of these that the text has."""
    return next((found for one in patterns if (found := _value(one, text, rank, mean=mean)) is not None), None)


def _value(pattern: re.Pattern[bytes], text: bytes, rank: int | None, *, mean: bool = False) -> float | None:
    """The sample of this rank; the sum (or mean) of all where no rank is asked for. NaN and the like: not known."""
    found = pattern.findall(text)
    if rank is not None and any(ENGINE.search(labels) for labels, _ in found):
        found = [(labels, value) for labels, value in found if _is_rank(labels, rank)]
    values = [value for value in (_number(value) for _, value in found) if value is not None]
    if not values:
        return None
    return sum(values) / (len(values) if mean else 1)


def _number(text: bytes) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < math.inf else None


def _capacity(text: bytes, rank: int | None) -> tuple[int, str]:
    """KV tokens of this rank, or of all engines of the endpoint where no rank is asked for, and how that is known."""
    configs = [
        labels
        for labels in CONFIG.findall(text)
        if rank is None or _is_rank(labels, rank) or ENGINE.search(labels) is None
    ]
    named = [int(found[1]) for labels in configs if (found := TOKENS.search(labels))]
    if any(named):
        return sum(named), "kv_cache_size_tokens"
    if total := int(_value(CAPACITY, text, rank) or 0):
        return total, "max_total_num_tokens"
    if any(HYBRID.search(labels) for labels in configs):
        return 0, "not known: blocks of a hybrid model do not tell"
    pairs = [(BLOCKS.search(labels), BLOCK_SIZE.search(labels)) for labels in configs]
    if total := sum(int(blocks[1]) * int(size[1]) for blocks, size in pairs if blocks and size):
        return total, "blocks times their size"
    for blocks_of, size_of in OF_TENSORRT:
        blocks_there, tokens_each = _value(blocks_of, text, rank), _value(size_of, text, rank, mean=True)
        if blocks_there and tokens_each:
            return int(blocks_there * tokens_each), "blocks times their size"
    return 0, ""


def _is_rank(labels: bytes, rank: int) -> bool:
    engine = ENGINE.search(labels)
    return engine is not None and int(engine[1]) == rank
