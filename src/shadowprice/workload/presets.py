"""Workloads with the published shape of public traces, for use without a download.

Each preset is a function (rng, *, requests, duration_s, rate_per_s) -> Trace; without a rate it uses the source's.
Length tables hold the quantiles of the source at PROBABILITIES; arrivals are fitted as each docstring says.
"""

from functools import partial
from typing import Protocol

import numpy as np

from shadowprice.workload.generators import (
    Arrivals,
    Sizes,
    gamma_arrivals,
    generate,
    lognormal_lengths,
    on_off_arrivals,
    poisson_arrivals,
    quantile_lengths,
)
from shadowprice.workload.trace import Trace

PROBABILITIES = [0.0, *(i / 20 for i in range(1, 20)), 0.98, 0.99, 0.995, 0.999, 1.0]

# fmt: off
AZURE_CONV_PROMPT = [2, 181, 207, 372, 387, 396, 403, 414, 703, 984, 1020, 1045, 1071, 1097, 1130, 1189, 1315, 1876,
                     2734, 4083, 4098, 4142, 4831, 6179, 14050]
AZURE_CONV_OUTPUT = [7, 41, 54, 67, 77, 85, 91, 96, 103, 113, 129, 151, 177, 217, 384, 395, 400, 411, 424, 451, 540,
                     601, 643, 954, 1000]
AZURE_CODE_PROMPT = [3, 75, 147, 232, 386, 578, 770, 939, 1075, 1261, 1469, 1690, 1909, 2164, 2433, 2744, 3192, 3920,
                     5188, 7303, 7436, 7436, 7436, 7437, 7437]
AZURE_CODE_OUTPUT = [6, 6, 7, 7, 8, 9, 9, 10, 11, 12, 13, 14, 16, 18, 20, 24, 29, 39, 55, 90, 171, 251, 359, 825, 1899]
MOONCAKE_PROMPT = [891, 901, 964, 1261, 1662, 2306, 3263, 4251, 4993, 5870, 6909, 8187, 9570, 11238, 13196, 15367,
                   17869, 21464, 27367, 39550, 66449, 85400, 100810, 121301, 126195]
MOONCAKE_OUTPUT = [1, 10, 24, 46, 100, 156, 213, 256, 291, 322, 350, 375, 399, 423, 447, 472, 504, 543, 597, 698, 892,
                   1119, 1568, 2000, 2000]
R1_PROMPT = [4, 13, 18, 26, 29, 41, 57, 76, 113, 172, 208, 222, 266, 349, 406, 482, 748, 1165, 2092, 6714, 16479,
             23423, 28228, 33783, 57284]
R1_OUTPUT = [9, 225, 287, 341, 387, 427, 470, 519, 582, 668, 792, 944, 1104, 1244, 1367, 1499, 1680, 2196, 3432, 5701,
             9338, 12607, 15737, 20833, 32768]
# fmt: on


class Preset(Protocol):
    """A named workload: give it a number of requests, a duration, or both."""

    def __call__(
        self,
        rng: np.random.Generator,
        *,
        requests: int | None = None,
        duration_s: float | None = None,
        rate_per_s: float | None = None,
    ) -> Trace: ...


def azure_conv_like(
    rng: np.random.Generator,
    *,
    requests: int | None = None,
    duration_s: float | None = None,
    rate_per_s: float | None = None,
) -> Trace:
    """Chat: mean 1,155 prompt and 211 output tokens, 5.53 requests/s, slow swings of the rate.

    Source: Azure LLM inference trace 2023, conversation (Patel et al., ISCA 2024; CC-BY-4.0), quantiles computed by us
    from its 19,366 rows; rank correlation of the lengths 0.07. Arrivals: two equally long states whose rates are 22 %
    above and below the mean, mean stay 450 s, fitted by us to its index of dispersion, 3.9 at 10 s, 16 at 60 s and 56
    at 300 s (the model's: 3.6, 14.4, 56). Swings keep their seconds when the rate changes.
    """
    arrivals = partial(on_off_arrivals, on_s=450.0, off_s=450.0, off_to_on=0.78 / 1.22)
    tables = (AZURE_CONV_PROMPT, AZURE_CONV_OUTPUT)
    return _from_tables(
        "azure-conv-like", arrivals, tables, rng, requests, duration_s, _or_own(rate_per_s, 5.53), 0.076
    )


def azure_code_like(
    rng: np.random.Generator,
    *,
    requests: int | None = None,
    duration_s: float | None = None,
    rate_per_s: float | None = None,
) -> Trace:
    """Code completion: mean 2,048 prompt and 28 output tokens, 2.57 requests/s, in short violent bursts.

    Source: Azure LLM inference trace 2023, code (Patel et al., ISCA 2024; CC-BY-4.0), quantiles computed by us from its
    8,819 rows. Arrivals: bursts of 8.7 s in mean, silences of 40.6 s, fitted by us to its CV of 13.2 and its index of
    dispersion of 13 at 1 s and 164 at 60 s (the model's: 13.2, 13, 154).
    """
    arrivals = partial(on_off_arrivals, on_s=8.7, off_s=40.6)
    tables = (AZURE_CODE_PROMPT, AZURE_CODE_OUTPUT)
    return _from_tables("azure-code-like", arrivals, tables, rng, requests, duration_s, _or_own(rate_per_s, 2.57), 0.0)


def mooncake_conversation_like(
    rng: np.random.Generator,
    *,
    requests: int | None = None,
    duration_s: float | None = None,
    rate_per_s: float | None = None,
) -> Trace:
    """Long-context chat: mean 12,035 prompt and 343 output tokens, 3.40 requests/s, nearly Poisson; no shared prefixes.

    Source: Mooncake conversation trace (Qin et al., FAST 2025; Apache-2.0), quantiles computed by us from its 12,031
    rows; rank correlation of the lengths 0.07. Arrivals: two equally long states 10 % above and below the mean rate,
    mean stay 360 s, fitted by us to its index of dispersion, 2.9 at 60 s and 7.4 at 300 s.
    """
    arrivals = partial(on_off_arrivals, on_s=360.0, off_s=360.0, off_to_on=0.9 / 1.1)
    name, tables = "mooncake-conversation-like", (MOONCAKE_PROMPT, MOONCAKE_OUTPUT)
    return _from_tables(name, arrivals, tables, rng, requests, duration_s, _or_own(rate_per_s, 3.4), 0.075)


def reasoning_like(
    rng: np.random.Generator,
    *,
    requests: int | None = None,
    duration_s: float | None = None,
    rate_per_s: float | None = None,
) -> Trace:
    """Reasoning: short prompts (median 208) and long heavy-tailed outputs (mean 1,527, p99 12,607), Poisson, 16.0/s.

    Source: the deepseek-r1 client distributions of ServeGen (Xiang et al., arXiv 2505.09999; Apache-2.0): length
    quantiles of all clients weighted by their rates over the day, and the mean rate, computed by us. Thinking and
    answer count as output. That arrivals are Poisson and lengths independent is our simplification.
    """
    tables = (R1_PROMPT, R1_OUTPUT)
    return _from_tables(
        "reasoning-like", poisson_arrivals, tables, rng, requests, duration_s, _or_own(rate_per_s, 16.0), 0.0
    )


def burstgpt_like(
    rng: np.random.Generator,
    *,
    requests: int | None = None,
    duration_s: float | None = None,
    rate_per_s: float | None = None,
) -> Trace:
    """Campus chat in bursts: mean 621 prompt and 126 output tokens, Gamma arrivals of CV 2, 1 request/s.

    Source: BurstGPT (Wang et al., KDD 2025; CC-BY-4.0): the means of its first two months, as quoted for replays of it,
    and Gamma as the family of its arrivals. The lognormal shape (sigma 1.2 and 1.0), the CV and the rate are ours.
    """
    return generate(
        partial(gamma_arrivals, cv=2.0),
        Sizes(
            lognormal_lengths(621 * np.exp(-(1.2**2) / 2), 1.2, most=32_000),
            lognormal_lengths(126 * np.exp(-0.5), 1.0, most=16_000),
        ),
        rng,
        rate_per_s=_or_own(rate_per_s, 1.0),
        requests=requests,
        duration_s=duration_s,
        name="burstgpt-like",
    )


PRESETS: dict[str, Preset] = {
    "azure-conv-like": azure_conv_like,
    "azure-code-like": azure_code_like,
    "mooncake-conversation-like": mooncake_conversation_like,
    "reasoning-like": reasoning_like,
    "burstgpt-like": burstgpt_like,
}


def _or_own(rate_per_s: float | None, own_per_s: float) -> float:
    """The rate that was asked for, 0 included; the preset's own where none was."""
    return own_per_s if rate_per_s is None else rate_per_s


def _from_tables(
    name: str,
    arrivals: Arrivals,
    tables: tuple[list[int], list[int]],
    rng: np.random.Generator,
    requests: int | None,
    duration_s: float | None,
    rate_per_s: float,
    correlation: float,
) -> Trace:
    prompt, output = (quantile_lengths(PROBABILITIES, table) for table in tables)
    return generate(
        arrivals,
        Sizes(prompt, output, correlation),
        rng,
        rate_per_s=rate_per_s,
        requests=requests,
        duration_s=duration_s,
        name=name,
    )
