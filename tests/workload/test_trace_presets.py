import numpy as np
import pytest
from trace_files import assert_same_columns, real

from shadowprice.workload import PRESETS, PUBLIC_TRACES, describe, read_trace
from shadowprice.workload.presets import PROBABILITIES
from shadowprice.workload.statistics import dispersion

PUBLISHED_MEANS = {
    "azure-conv-like": (1155, 211, 5.53),
    "azure-code-like": (2048, 28, 2.57),
    "mooncake-conversation-like": (12035, 343, 3.4),
    "reasoning-like": (1268, 1527, 16.0),
    "burstgpt-like": (621, 126, 1.0),
}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_meet_the_published_means_and_rate(name):
    prompt, output, rate = PUBLISHED_MEANS[name]
    statistics = describe(PRESETS[name](np.random.default_rng(0), requests=100_000))
    assert statistics.prompt_tokens.mean == pytest.approx(prompt, rel=0.07)
    assert statistics.output_tokens.mean == pytest.approx(output, rel=0.07)
    assert statistics.rate_per_s == pytest.approx(rate, rel=0.15)  # four standard deviations of the burstiest


@pytest.mark.parametrize("name", PRESETS)
def test_presets_follow_seed_rate_and_duration(name):
    trace = PRESETS[name](np.random.default_rng(3), duration_s=300.0, rate_per_s=9.0)
    assert_same_columns(trace, PRESETS[name](np.random.default_rng(3), duration_s=300.0, rate_per_s=9.0))
    assert trace.arrival_s[-1] < 300 and trace.name == name
    assert len(trace) == pytest.approx(2700, rel=0.5)


def test_presets_and_public_traces_have_different_names_and_sources():
    assert not set(PRESETS) & set(PUBLIC_TRACES)
    for preset in PRESETS.values():
        assert "Source:" in (preset.__doc__ or "")


@pytest.mark.parametrize(
    ("name", "file"),
    [("azure-conv-like", "azure2023_conv.csv"), ("mooncake-conversation-like", "mooncake_conversation.jsonl")],
)
def test_length_tables_are_the_quantiles_of_the_real_trace(name, file):
    source = read_trace(real(file))
    made = PRESETS[name](np.random.default_rng(0), requests=200_000)
    for field in ("prompt_tokens", "output_tokens"):
        levels = np.array(PROBABILITIES[1:-2])
        wanted = np.quantile(getattr(source, field), levels)
        np.testing.assert_allclose(np.quantile(getattr(made, field), levels), wanted, rtol=0.1, atol=2)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("azure-conv-like", {10: 3.9, 60: 16.1, 300: 56}),
        ("azure-code-like", {1: 13.2, 60: 164}),
        ("mooncake-conversation-like", {60: 2.9, 300: 7.4}),
    ],
)
def test_arrivals_are_as_bursty_as_the_source(name, published):
    trace = PRESETS[name](np.random.default_rng(7), requests=1_000_000)
    for window_s, wanted in published.items():
        assert dispersion(trace, window_s) == pytest.approx(wanted, rel=0.2)
