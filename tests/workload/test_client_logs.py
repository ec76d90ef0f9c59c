"""What load generators and tracers write of each request: read as a trace, and where it has tokens' times, as a log."""

import json
from pathlib import Path

import pytest
from trace_files import AIPERF, GUIDELLM, INFERENCE_PERF, OTLP, SPANS, VLLM_BENCH

from shadowprice.errors import TraceError
from shadowprice.workload import MeasuredLog, Trace, read_measured, read_trace


def write(tmp_path: Path, data: bytes | object) -> Path:
    path = tmp_path / "file.json"
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return path


def trace_of(tmp_path: Path, data: bytes | object, **options: bool) -> Trace:
    return read_trace(write(tmp_path, data), **options)


def log_of(tmp_path: Path, data: bytes | object) -> MeasuredLog:
    return read_measured(write(tmp_path, data))


READ = {  # arrivals, prompts, outputs, sessions, first tokens, last tokens
    "vllm bench": (VLLM_BENCH, [0, 0.5], [30, 40], [3, 1], None, [0.25, 1.0], [0.625, 1.0]),
    "guidellm": (GUIDELLM, [0, 0.5], [40, 30], [4, 3], None, [1.0, 0.75], [3.0, 2.5]),
    "inference-perf": (INFERENCE_PERF, [0, 0.5], [40, 30], [4, 3], None, [0.5, 1.0], [2.5, 1.5]),
    "aiperf": (AIPERF, [0, 0.5, 2.25], [40, 30, 50], [4, 3, 5], [1, 0, 0], [0.25, 0.75, 2.5], [1.5, 2.0, 3.75]),
    "otlp": (OTLP, [0, 2.5], [30, 40], [3, 4], None, None, None),
    "spans": (SPANS, [0, 0.5], [40, 30], [4, 3], None, None, None),
}


@pytest.mark.parametrize("name", READ)
def test_each_form_is_read_with_the_times_and_lengths_that_it_holds(tmp_path: Path, name: str) -> None:
    data, arrivals, prompts, outputs, sessions, first, last = READ[name]
    trace = trace_of(tmp_path, data)
    assert trace.arrival_s == pytest.approx(arrivals, abs=1e-6)
    assert (trace.prompt_tokens.tolist(), trace.output_tokens.tolist()) == (prompts, outputs)
    assert (None if trace.session is None else trace.session.tolist()) == sessions
    assert any(note.startswith("read as ") for note in trace.notes)
    if first is not None:
        log = log_of(tmp_path, data)
        assert not log.admissions
        assert log.first_token_s == pytest.approx(first, abs=1e-6)
        assert log.last_token_s == pytest.approx(last, abs=1e-6)
        assert log.queued_s == pytest.approx(arrivals, abs=1e-6)


@pytest.mark.parametrize("name", ["vllm bench", "guidellm", "inference-perf", "aiperf"])
def test_failed_requests_are_left_out_counted_and_said(tmp_path: Path, name: str) -> None:
    data = READ[name][0]
    trace = trace_of(tmp_path, data)
    assert any(f"1 of {len(trace) + 1} requests failed" in note and "demand was higher" in note for note in trace.notes)


@pytest.mark.parametrize("name", ["vllm bench", "guidellm", "inference-perf", "otlp"])
@pytest.mark.parametrize("indent", [None, 1, "\t"])
def test_it_does_not_matter_how_a_document_is_indented(tmp_path: Path, name: str, indent: int | str | None) -> None:
    data = READ[name][0]
    again = json.dumps(json.loads(data), indent=indent).encode()
    assert trace_of(tmp_path, again).prompt_tokens.tolist() == READ[name][2]


def test_runs_that_were_appended_are_read_together(tmp_path: Path) -> None:
    run = json.loads(VLLM_BENCH)
    later = {**run, "start_times": [start + 10 for start in run["start_times"]]}
    trace = trace_of(tmp_path, (json.dumps(run) + "\n" + json.dumps(later) + "\n").encode())
    assert trace.arrival_s.tolist() == [0, 0.5, 10, 10.5]


def test_spans_of_a_console_are_read_though_each_takes_many_lines(tmp_path: Path) -> None:
    spans = [json.loads(line) for line in SPANS.splitlines()]
    printed = "\n".join(json.dumps(span, indent=4) for span in spans).encode()
    assert trace_of(tmp_path, printed).prompt_tokens.tolist() == READ["spans"][2]


def test_a_span_that_sums_up_others_counts_only_where_they_do_not(tmp_path: Path) -> None:
    """An agent's span holds the tokens of its calls; without calls of its own it is the call."""
    document = json.loads(OTLP)
    spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    del spans[1:]
    assert trace_of(tmp_path, document).prompt_tokens.tolist() == [70]


WRONG = {
    "lists of unlike lengths": (
        {"input_lens": [1, 2], "output_lens": [1]},
        r":1: output_lens has 1 entries; expected 2, as input_lens",
    ),
    "no starts": (
        {"input_lens": [1, 2], "output_lens": [1, 1], "request_rate": 4.0},
        r":1: start_times is not there.*--save-result --save-detailed",
    ),
    "a length that is text": (
        {"input_lens": ["x"], "output_lens": [1], "start_times": [0]},
        r':1: request 0: prompt tokens is "x"; expected a whole number from 1',
    ),
    "all failed": (
        {"input_lens": [5], "output_lens": [0], "start_times": [0], "errors": ["no"]},
        "none of whose 1 requests was answered",
    ),
    "a summary": (
        {"total_input_tokens": 5, "total_output_tokens": 6, "request_throughput": 1.0},
        "a summary of vllm bench serve; expected one with each request: --save-result --save-detailed",
    ),
    "guidellm without requests": (
        {"benchmarks": [{"metrics": {}}]},
        r"guidellm benchmarks without requests; expected a file in which each has them",
    ),
    "AIPerf's summary": ({"input_config": {}, "request_latency": {"avg": 1}}, "expected profile_export.jsonl"),
    "inference-perf's summary": ({"load_summary": {}, "successes": {}}, "per_request_lifecycle_metrics.json"),
    "spans without tokens": (
        {"resourceSpans": [{"scopeSpans": [{"spans": [{"spanId": "a", "startTimeUnixNano": "1"}]}]}]},
        "none has gen_ai.usage.input_tokens",
    ),
    "a request without a start": (
        {"benchmarks": [{"requests": {"successful": [{"prompt_tokens": 3, "output_tokens": 4}]}}]},
        r"benchmarks\[0\]\.requests\.successful\[0\]: its start is None; expected seconds",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_used_is_named_with_what_to_take_instead(tmp_path: Path, case: str) -> None:
    data, message = WRONG[case]
    with pytest.raises(TraceError, match=message):
        trace_of(tmp_path, data)


def test_a_batch_that_was_sent_at_once_has_its_arrivals_at_0(tmp_path: Path) -> None:
    run = {"input_lens": [5, 6], "output_lens": [1, 2], "request_rate": "inf", "max_concurrency": None}
    assert trace_of(tmp_path, run).arrival_s.tolist() == [0, 0]


def test_bad_requests_are_counted_where_they_are_to_be_skipped(tmp_path: Path) -> None:
    run = json.loads(VLLM_BENCH)
    run["input_lens"][1] = -4
    with pytest.raises(TraceError, match="request 1: prompt tokens is -4"):
        trace_of(tmp_path, run)
    trace = trace_of(tmp_path, run, skip_bad_rows=True)
    assert (len(trace), trace.skipped_rows) == (1, 1)


def test_a_log_without_times_of_first_tokens_is_no_log(tmp_path: Path) -> None:
    run = json.loads(VLLM_BENCH)
    del run["ttfts"], run["itls"]
    assert len(trace_of(tmp_path, run)) == 2
    with pytest.raises(TraceError, match="without times of first tokens"):
        log_of(tmp_path, run)


def test_lines_are_those_of_the_file_where_an_array_is_indented(tmp_path: Path) -> None:
    rows = json.loads(INFERENCE_PERF)
    rows[1]["start_time"] = "soon"
    with pytest.raises(TraceError, match=r":\d+: request 1: its start is .soon.") as caught:
        trace_of(tmp_path, json.dumps(rows, indent=1).encode())
    line = int(str(caught.value).split(":")[1])
    text = json.dumps(rows, indent=1).splitlines()
    assert text[line - 1].strip() == "{" and '"soon"' in text[line]
