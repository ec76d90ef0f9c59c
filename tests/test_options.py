"""Parameters of a decision compare equal, and are the same after TOML."""

import json

import pytest

from shadowprice.audit import AuditOptions
from shadowprice.disaggregation import Link, Slo
from shadowprice.errors import FleetError, PolicyError, ShadowpriceError, TraceError
from shadowprice.experts import ExpertOptions, GemmTime, SearchOptions
from shadowprice.options import Options
from shadowprice.plan import AutoscaleOptions, PoolsOptions, Targets

SOME: list[Options] = [
    AuditOptions(),
    AuditOptions(60.0, Slo(0.5), True, ExpertOptions(16, 32, search=SearchOptions(0.9, groups=8, nodes=2))),
    ExpertOptions(seed=7, cost=GemmTime(64, 1e-5, 2e-6)),
    SearchOptions(0.5, 8, 4, 2.0),
    Link(131_072.0, 50e9, 1e-3, 32),
    PoolsOptions(4, Link(131_072.0, 50e9), "decode"),
    AutoscaleOptions(60.0, 0.0),
    Targets(tpot_s=0.05),
    Targets(),
]


@pytest.mark.parametrize("options", SOME, ids=repr)
def test_what_is_written_as_toml_is_read_as_an_equal_object(options: Options) -> None:
    again = type(options).from_toml(options.to_toml())
    assert again == options and hash(again) == hash(options) and again is not options


@pytest.mark.parametrize("options", SOME, ids=repr)
def test_the_json_is_plain_and_has_every_parameter(options: Options) -> None:
    dumped = json.loads(json.dumps(options.to_json(), allow_nan=False))
    assert list(dumped) == list(vars(options))


def test_what_is_not_given_is_as_by_default_and_a_whole_number_does_for_a_limit() -> None:
    assert AuditOptions.from_toml("max_wait_s = 60\n[experts]\ngpus = 16") == AuditOptions(
        60.0, experts=ExpertOptions(16)
    )


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("max_wait = 1", ShadowpriceError, "AuditOptions: unknown key 'max_wait'; accepted: max_wait_s, slo"),
        ("[experts]\nGPUs = 8", ShadowpriceError, "unknown key 'experts.GPUs'; accepted: gpus, redundant"),
        ("max_wait_s = 'soon'", ShadowpriceError, r"Expected `float | null`, got `str` - at `\$.max_wait_s`"),
        ("max_wait_s = ", ShadowpriceError, "AuditOptions: no TOML"),
        ("[slo]\nttft_s = -1", PolicyError, "the SLO's ttft_s is -1"),
    ],
)
def test_what_cannot_be_is_refused_in_words(text: str, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        AuditOptions.from_toml(text)


def test_numbers_without_meaning_are_refused_by_the_object_itself() -> None:
    with pytest.raises(TraceError, match="the period is 0 s"):
        AutoscaleOptions.from_toml("period_s = 0")
    with pytest.raises(FleetError, match=r"link.layers is 0"):
        PoolsOptions.from_toml("[link]\nkv_bytes_per_token = 1\nbandwidth_bytes_per_s = 1\nlayers = 0")
