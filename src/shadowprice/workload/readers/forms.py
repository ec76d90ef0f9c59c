"""The forms that are known, and which of them a file is of: told by the fields that it has, or has not."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from shadowprice.errors import TraceError
from shadowprice.workload.readers.agentic import AGENTIC
from shadowprice.workload.readers.aiperf import AIPERF
from shadowprice.workload.readers.azure import AZURE, AZURE_MULTIMODAL
from shadowprice.workload.readers.bailian import BAILIAN
from shadowprice.workload.readers.burstgpt import BURSTGPT
from shadowprice.workload.readers.client import ClientForm
from shadowprice.workload.readers.formats import CsvFormat, JsonlFormat
from shadowprice.workload.readers.guidellm import GUIDELLM
from shadowprice.workload.readers.inference_perf import INFERENCE_PERF
from shadowprice.workload.readers.measured import MEASURED
from shadowprice.workload.readers.mooncake import MOONCAKE
from shadowprice.workload.readers.own import OWN_CSV, OWN_JSONL
from shadowprice.workload.readers.record import RECORD_JSONL
from shadowprice.workload.readers.servegen import SERVEGEN
from shadowprice.workload.readers.servegen_offline import SERVEGEN_OFFLINE
from shadowprice.workload.readers.spans import OTLP, SPANS, TRACES_OF_SPANS
from shadowprice.workload.readers.table import printable
from shadowprice.workload.readers.vllm_bench import VLLM_BENCH

CSV_FORMATS = (AZURE, AZURE_MULTIMODAL, BURSTGPT, SERVEGEN, AGENTIC, OWN_CSV)
JSONL_FORMATS = (MOONCAKE, BAILIAN, SERVEGEN_OFFLINE, MEASURED, OWN_JSONL, RECORD_JSONL)
CLIENT_FORMS = (VLLM_BENCH, GUIDELLM, INFERENCE_PERF, AIPERF, OTLP, TRACES_OF_SPANS, SPANS)

# Files of these tools that hold no requests: their fields, what they are, and the file that does.
SUMMARIES: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("total_input_tokens", "total_output_tokens", "request_throughput"),
        "a summary of vllm bench serve; expected one with each request: --save-result --save-detailed",
    ),
    (("input_config",), "AIPerf's summary; expected profile_export.jsonl, which has each request"),
    (("experiments",), "GenAI-Perf's profile export, which counts no tokens; expected AIPerf's profile_export.jsonl"),
    (("load_summary", "successes"), "inference-perf's summary; expected per_request_lifecycle_metrics.json"),
)

Form = TypeVar("Form", CsvFormat, JsonlFormat)


def client_form(found: Mapping[str, Any]) -> ClientForm | None:
    """The load generator's form of an object with these fields; None where there is none."""
    return next((form for form in CLIENT_FORMS if form.fits(found)), None)


def refuse_summary(path: Path, line: int, found: Iterable[str]) -> None:
    """Raise TraceError, with the file to take instead, for a summary that holds no requests."""
    names = set(found)
    for fields, words in SUMMARIES:
        if names >= set(fields):
            raise TraceError(f"{path}:{line}: {words}")


def match(found: Sequence[str], forms: Sequence[Form]) -> Form | None:
    """The form with the most required columns among those of which all were found and none that excludes it."""
    names = set(found)
    complete = [
        form
        for form in forms
        if names >= set(form.required)
        and names.isdisjoint(form.excluded)
        and (not form.one_of or not names.isdisjoint(form.one_of))
    ]
    return max(complete, key=lambda form: len(form.required)) if complete else None


def no_match(path: Path, line: int, found: Sequence[str], forms: Sequence[CsvFormat | JsonlFormat]) -> TraceError:
    """The error for columns of no known form: the nearest form, and all that are accepted."""
    names = set(found)
    nearest = max(
        forms, key=lambda form: len(set(form.asks) & names) / len(form.asks) - len(names & set(form.excluded))
    )
    missing = [name for name in nearest.asks if name not in names]
    excluded = [name for name in nearest.excluded if name in names]
    lacks = f"which also needs {', '.join(missing)}" if missing else f"which has no {', '.join(excluded)}"
    accepted = "; ".join(f"{form.name}: {','.join(form.asks)}" for form in forms)
    shown = printable(", ".join(found))[:200] or "none"
    return TraceError(
        f"{path}:{line}: no known trace format has the columns found ({shown}); the nearest is {nearest.name}, "
        f"{lacks}. Say which columns are meant: --columns arrival=NAME,prompt=NAME,output=NAME. Accepted: {accepted}"
    )
