"""The metrics text: what Prometheus' own parser reads, against the snapshot and the conventions of names."""

import re
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from shadowprice.router.admin.metrics import PREFIX, WORKER_STATES, exposition
from tests.router.replay import REFUSED, ReplayControl

HOSTILE = 'http://a"b\\c\nd{worker="x"} 1'
# What a linter of Prometheus refuses in a name: abbreviated or derived units, and types.
FORBIDDEN = {
    "s",
    "ms",
    "sec",
    "milliseconds",
    "minutes",
    "percent",
    "perc",
    "kb",
    "mb",
    "gauge",
    "counter",
    "histogram",
}
VLLM = (  # names of vLLM's own metrics, after its prefix, for the same things
    ("time_to_first_token_seconds", "ttft_s"),
    ("request_time_per_output_token_seconds", "tpot_s"),
    ("e2e_request_latency_seconds", "e2e_s"),
    ("request_queue_time_seconds", "queue_s"),
    ("request_prompt_tokens", "prompt_tokens"),
    ("request_generation_tokens", "output_tokens"),
)


@pytest.fixture
def snapshot(replayed: ReplayControl) -> dict[str, Any]:
    return replayed.snapshot()


def parsed(snapshot: dict[str, Any]) -> dict[str, Metric]:
    families = list(text_string_to_metric_families(exposition(snapshot).decode()))
    assert len({family.name for family in families}) == len(families)
    return {family.name.removeprefix(PREFIX): family for family in families}


def values(family: Metric) -> dict[tuple[str, ...], float]:
    return {tuple(sample.labels.values()): sample.value for sample in family.samples}


def test_names_follow_the_conventions(snapshot: dict[str, Any]) -> None:
    snapshot["prices"]["kv_token_s"] = 0.5
    for family in text_string_to_metric_families(exposition(snapshot).decode()):
        assert family.name.startswith(PREFIX)
        assert re.fullmatch(r"[a-z][a-z0-9_]*", family.name)
        assert not FORBIDDEN & set(family.name.split("_")), family.name
        assert family.documentation.endswith((".", "]."))
        assert family.samples, f"{family.name} has no sample in a snapshot that knows all"
        for sample in family.samples:
            assert set(sample.labels) <= {
                "worker", "state", "reason", "status", "le", "pid", "version", "policy", "scheduling_policy"
            }  # fmt: skip
            assert (family.type == "counter") == sample.name.endswith("_total")
            assert (family.type == "histogram") == sample.name.endswith(("_bucket", "_count", "_sum"))


def test_samples_are_the_values_of_the_snapshot(snapshot: dict[str, Any]) -> None:
    metrics = parsed(snapshot)
    workers = snapshot["workers"]
    for name, field in (
        ("num_requests_running", "running"),
        ("num_requests_waiting", "waiting"),
        ("kv_cache_tokens", "kv_tokens"),
        ("kv_cache_capacity_tokens", "kv_capacity_tokens"),
        ("worker_step_time_seconds", "step_time_s"),
        ("worker_speed_ratio", "speed"),
        ("worker_requests", "requests_total"),
        ("generation_tokens", "generated_tokens_total"),
        ("prompt_tokens", "prompt_tokens_total"),
    ):
        assert values(metrics[name]) == {(worker["name"],): worker[field] for worker in workers}, name
    assert values(metrics["requests_in_flight"]) == {(): snapshot["in_flight"]}
    assert values(metrics["idle_ratio"]) == {(): snapshot["idle_share"]}
    assert values(metrics["requests_refused"]) == {(reason,): snapshot["refused_total"][reason] for reason in REFUSED}
    assert values(metrics["responses"])[("2xx",)] == snapshot["responses_total"]["2xx"]
    assert values(metrics["access_log_lines_lost"]) == {(): snapshot["access_log"]["lost_total"]}


@pytest.mark.parametrize(("name", "field"), VLLM)
def test_histograms_are_cumulative_and_complete(name: str, field: str, snapshot: dict[str, Any]) -> None:
    given = snapshot["histograms"][field]
    family = parsed(snapshot)[name]
    assert family.type == "histogram"
    buckets = [(s.labels["le"], s.value) for s in family.samples if s.name.endswith("_bucket")]
    assert [float(le) for le, _ in buckets] == [*given["buckets"], float("inf")]
    assert [value for _, value in buckets] == [sum(given["counts"][: i + 1]) for i in range(len(buckets))]
    rest = {
        sample.name.removeprefix(PREFIX + name): sample.value for sample in family.samples if "le" not in sample.labels
    }
    assert rest == {"_count": sum(given["counts"]), "_sum": given["sum"]}
    assert rest["_count"] > 0


@pytest.mark.parametrize(
    ("buckets", "counts", "cumulative"),
    [
        ([1.0, 2.0], [3, 4, 5], [3, 7, 12]),
        ([1.0, 2.0], [3, 4], [3, 7, 7]),
        ([1.0, float("inf")], [3, 4], [3, 7]),
    ],
)
def test_the_last_bucket_may_be_given_in_any_form(
    buckets: list[float], counts: list[int], cumulative: list[int], snapshot: dict[str, Any]
) -> None:
    snapshot["histograms"]["ttft_s"] = {"buckets": buckets, "counts": counts, "sum": 1.5}
    samples = parsed(snapshot)["time_to_first_token_seconds"].samples
    assert [s.value for s in samples if "le" in s.labels] == cumulative
    assert [s.labels["le"] for s in samples if "le" in s.labels][-1] == "+Inf"


def test_a_worker_is_in_one_state(snapshot: dict[str, Any]) -> None:
    snapshot["workers"][2]["state"] = "ejected"
    ejected = [s.labels for s in parsed(snapshot)["worker_state"].samples if s.value]
    assert [labels["state"] for labels in ejected] == ["up", "up", "ejected", *["up"] * 5]
    assert ejected[2]["worker"] == snapshot["workers"][2]["name"]
    assert len(parsed(snapshot)["worker_state"].samples) == len(WORKER_STATES) * len(snapshot["workers"])


def test_what_is_not_known_has_no_sample(snapshot: dict[str, Any]) -> None:
    for worker in snapshot["workers"]:
        worker |= {"kv_capacity_tokens": None, "slots": None, "step_time_s": None}
    snapshot["queue"]["size_limit"] = snapshot["access_log"] = None
    metrics = parsed(snapshot)
    for name in ("kv_cache_capacity_tokens", "worker_slots", "worker_step_time_seconds", "queue_limit_requests"):
        assert metrics[name].samples == []
    assert metrics["access_log_lines_lost"].samples == []


def test_a_hostile_worker_name_stays_one_label(snapshot: dict[str, Any]) -> None:
    snapshot["workers"][0]["name"] = HOSTILE
    assert (HOSTILE,) in values(parsed(snapshot)["kv_cache_tokens"])


def test_a_router_without_workers_has_metrics(snapshot: dict[str, Any]) -> None:
    snapshot["workers"] = []
    assert parsed(snapshot)["num_requests_running"].samples == []
