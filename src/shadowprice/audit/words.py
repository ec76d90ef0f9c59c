"""Numbers as people read them."""

from shadowprice.fleet.fleet import Fleet


def number(value: float) -> str:
    """Three significant digits, whole from 1,000 on: 0.0532, 17.7, 1,204."""
    if abs(value) >= 999.5:
        return f"{value:,.0f}"
    text = f"{value:#.3g}"
    return text.rstrip(".")


def seconds(value: float | None) -> str:
    """A duration: `17.7 s`, `53.2 ms`; `none` where there is none, as no TPOT without a second token."""
    if value is None:
        return "none"
    return f"{number(value * 1e3)} ms" if 0 < abs(value) < 0.1 else f"{number(value)} s"


def percent(share: float) -> str:
    """A share: `43 %`, `7.5 %` below ten, `2 %`."""
    value = 100 * share
    return f"{value:.1f} %".replace(".0 %", " %") if abs(value) < 9.95 else f"{value:,.0f} %"


def load(value: float) -> str:
    """A fraction of the stable rate: 0.70, 1.20, 0.0123."""
    return f"{value:,.2f}" if value >= 0.1 else number(value)


def plural(count: int, word: str) -> str:
    """`1 worker`, `3 workers`."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def worker_limits(fleet: Fleet) -> str:
    """The limits of a worker in a line."""
    worker = fleet.worker
    return (
        f"{worker.max_num_seqs:,} sequences, {worker.max_num_batched_tokens:,} tokens per step, "
        f"{worker.kv_tokens:,} KV tokens in blocks of {worker.block_size}"
    )
