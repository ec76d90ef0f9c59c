"""The router's snapshot as Prometheus text.

Names follow the conventions of Prometheus (base units, `_total` on counters) under the prefix `shadowprice_router_`;
what vLLM measures too has vLLM's name after the prefix, so that a dashboard needs one word for both. Percentiles are
left to PromQL: the histograms since start carry them. A value that the snapshot does not know (None) has no sample.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST
PREFIX = "shadowprice_router_"
STATES = ("serving", "draining")
WORKER_STATES = ("up", "ejected", "probing", "draining", "down")

Row = tuple[str, str, str]  # field of the snapshot, metric, what it is
ROUTER_GAUGES: tuple[Row, ...] = (
    ("in_flight", "requests_in_flight", "Requests at workers, of those that compute something."),
    (
        "imbalance_tokens",
        "imbalance_tokens",
        "Sum over the workers that are up of the fullest one's KV tokens - its own.",
    ),
    (
        "idle_share",
        "idle_ratio",
        "Share of worker time that a step barrier would leave idle: imbalance / (workers x maximum).",
    ),
)
QUEUE_GAUGES: tuple[Row, ...] = (
    ("requests", "queue_requests", "Requests waiting in the router for a worker."),
    ("prompt_tokens", "queue_prompt_tokens", "Prompt tokens of the requests waiting in the router."),
    ("oldest_wait_s", "queue_oldest_wait_seconds", "How long the oldest waiting request has waited."),
    ("size_limit", "queue_limit_requests", "How many requests may wait before the next one is refused."),
)
PRICE_GAUGES: tuple[Row, ...] = (
    ("hole_kv_tokens", "hole_price_tokens", "What the policy pays for a token of imbalance [KV tokens]."),
    ("slot_s", "slot_price_seconds", "What the queue pays for a slot [seconds of waiting]."),
    ("kv_token_s", "kv_token_price_seconds", "What the queue pays for a KV token [seconds of waiting]."),
)
WORKER_GAUGES: tuple[Row, ...] = (
    ("running", "num_requests_running", "Requests in the worker's batch, as the router knows them."),
    ("waiting", "num_requests_waiting", "Requests sent to the worker that have no slot there yet."),
    ("kv_tokens", "kv_cache_tokens", "Tokens held in the worker's KV cache."),
    ("kv_capacity_tokens", "kv_cache_capacity_tokens", "Tokens that fit into the worker's KV cache."),
    ("slots", "worker_slots", "Requests that the worker runs at once at most."),
    ("step_time_s", "worker_step_time_seconds", "Time of one step of the worker, learned online."),
    ("speed", "worker_speed_ratio", "Speed of the worker relative to the others, learned online; 1 where alike."),
)
WORKER_COUNTERS: tuple[Row, ...] = (
    ("requests_total", "worker_requests", "Requests sent to the worker."),
    ("errors_total", "worker_errors", "Requests that failed at the worker."),
    ("retries_total", "worker_retries", "Requests tried again elsewhere after the worker failed."),
    ("prompt_tokens_total", "prompt_tokens", "Prompt tokens of the requests sent to the worker."),
    ("generated_tokens_total", "generation_tokens", "Tokens that the worker generated."),
)
ROUTER_COUNTERS: tuple[Row, ...] = (
    ("retries_total", "request_retries", "Requests tried again on another worker."),
    ("truncated_total", "responses_truncated", "Responses whose worker broke off after the first byte."),
)
HISTOGRAMS: tuple[Row, ...] = (
    ("ttft_s", "time_to_first_token_seconds", "From arrival at the router to the first token."),
    ("tpot_s", "request_time_per_output_token_seconds", "Mean time per token after the first, per request."),
    ("e2e_s", "e2e_request_latency_seconds", "From arrival at the router to the end of the response."),
    ("queue_s", "request_queue_time_seconds", "From arrival at the router to its dispatch to a worker."),
    ("prompt_tokens", "request_prompt_tokens", "Prompt tokens per request."),
    ("output_tokens", "request_generation_tokens", "Generated tokens per request."),
)


def exposition(snapshot: Mapping[str, Any]) -> bytes:
    """The snapshot in the text format of Prometheus, to be sent as `CONTENT_TYPE`."""
    return b"".join(pieces(snapshot))


def pieces(snapshot: Mapping[str, Any]) -> Iterator[bytes]:
    """The text metric by metric: an event loop that has other work does that in between."""
    return (generate_latest(_One(metric)) for metric in _metrics(snapshot))


class _One(Collector):
    """One metric in the form that `generate_latest` reads."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric

    def collect(self) -> Iterable[Metric]:
        return [self.metric]


def _metrics(snapshot: Mapping[str, Any]) -> Iterator[Metric]:
    workers: Sequence[Mapping[str, Any]] = snapshot["workers"]
    yield from _about(snapshot)
    yield from _gauges(snapshot, ROUTER_GAUGES)
    yield from _gauges(snapshot["queue"], QUEUE_GAUGES)
    yield from _gauges(snapshot["prices"], PRICE_GAUGES)
    for field, name, what in WORKER_GAUGES:
        yield _gauge(name, what, ("worker",), (((w["name"],), w[field]) for w in workers))
    states = (((w["name"], state), w["state"] == state) for w in workers for state in WORKER_STATES)
    yield _gauge(
        "worker_state", "1 for the state in which the worker is, 0 for the others.", ("worker", "state"), states
    )
    for field, name, what in WORKER_COUNTERS:
        yield _counter(name, what, ("worker",), (((w["name"],), w[field]) for w in workers))
    for field, name, what in ROUTER_COUNTERS:
        yield _counter(name, what, (), [((), snapshot[field])])
    refused = (((reason,), count) for reason, count in snapshot["refused_total"].items())
    yield _counter("requests_refused", "Requests that the router refused.", ("reason",), refused)
    responses = (((status,), count) for status, count in snapshot["responses_total"].items())
    what = "Responses by class of status; aborted: broken off, by the client or because the worker broke off."
    yield _counter("responses", what, ("status",), responses)
    log = snapshot["access_log"] or {}
    what = "Lines of the access log that could not be written, of the first process."
    yield _counter("access_log_lines_lost", what, (), [((), log.get("lost_total"))])
    for field, name, what in HISTOGRAMS:
        yield _histogram(name, what, snapshot["histograms"][field])


def _about(snapshot: Mapping[str, Any]) -> Iterator[Metric]:
    started_s = round(snapshot["now_s"] - snapshot["uptime_s"], 3)
    yield _gauge("build_info", "Version of the router; always 1.", ("version",), [((snapshot["version"],), 1)])
    policies = (snapshot["policy"], snapshot["scheduling_policy"])
    yield _gauge("policy_info", "Policies in force; always 1.", ("policy", "scheduling_policy"), [(policies, 1)])
    yield _gauge("start_time_seconds", "When the router started [unix time].", (), [((), started_s)])
    states = (((state,), snapshot["state"] == state) for state in STATES)
    yield _gauge("state", "1 for the state in which the router is, 0 for the other.", ("state",), states)
    processes = (((str(process["pid"]),), process["in_flight"]) for process in snapshot["processes"])
    yield _gauge(
        "process_requests_in_flight",
        "Requests at workers per process, of those that compute something.",
        ("pid",),
        processes,
    )


Samples = Iterable[tuple[Sequence[str], float | None]]


def _gauges(values: Mapping[str, Any], rows: tuple[Row, ...]) -> Iterator[Metric]:
    for field, name, what in rows:
        yield _gauge(name, what, (), [((), values[field])])


def _gauge(name: str, what: str, labels: Sequence[str], samples: Samples) -> Metric:
    return _filled(GaugeMetricFamily(PREFIX + name, what, labels=labels), samples)


def _counter(name: str, what: str, labels: Sequence[str], samples: Samples) -> Metric:
    return _filled(CounterMetricFamily(PREFIX + name, what, labels=labels), samples)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, samples: Samples) -> Metric:
    for labels, value in samples:
        if value is not None:
            family.add_metric(labels, float(value))
    return family


def _histogram(name: str, what: str, histogram: Mapping[str, Any]) -> Metric:
    """buckets: upper bounds; counts: per bucket, and one more beyond the last bound where that is finite."""
    cumulative = list(accumulate(histogram["counts"]))
    bounds = ["+Inf" if math.isinf(bound) else str(float(bound)) for bound in histogram["buckets"]]
    if bounds[-1:] != ["+Inf"]:
        bounds.append("+Inf")
        cumulative += cumulative[-1:] if len(cumulative) < len(bounds) else []
    return HistogramMetricFamily(
        PREFIX + name, what, buckets=list(zip(bounds, cumulative, strict=True)), sum_value=histogram["sum"]
    )
