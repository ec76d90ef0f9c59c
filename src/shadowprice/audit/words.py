"""Numbers as people read them."""


def number(value: float) -> str:
    """Three significant digits, whole from 1,000 on: 0.0532, 17.7, 1,204."""
    if abs(value) >= 999.5:
        return f"{value:,.0f}"
    text = f"{value:#.3g}"
    return text.rstrip(".")


def seconds(value: float) -> str:
    """A duration: `17.7 s`, `53.2 ms`."""
    return f"{number(value * 1e3)} ms" if 0 < abs(value) < 0.1 else f"{number(value)} s"


def percent(share: float) -> str:
    """A share: `43 %`, `7.5 %` below ten."""
    value = 100 * share
    return f"{value:.1f} %" if abs(value) < 9.95 else f"{value:,.0f} %"


def plural(count: int, word: str) -> str:
    """`1 worker`, `3 workers`."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"
