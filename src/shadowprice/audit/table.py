"""The certificates as a table for the terminal."""

import math
from collections.abc import Sequence

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shadowprice.audit.finding import Finding
from shadowprice.audit.words import load, number, percent, plural
from shadowprice.certificate import Certificate
from shadowprice.fleet.fleet import Fleet
from shadowprice.workload.trace import Trace

SERVED = ("mean TTFT", "p99 latency", "longest wait")  # shown beside the certificates, seconds


def audit_table(trace: Trace, fleet: Fleet, stable_rate_per_s: float, findings: Sequence[Finding]) -> RenderableType:
    """Trace and fleet in a line each, then a block for every load."""
    head = [
        Text(f"trace  {trace.name}: {_trace_line(trace)}"),
        Text(f"fleet  {fleet.name}: {_fleet_line(fleet, stable_rate_per_s)}"),
        *(Text(f"note   {note}") for note in trace.notes),
    ]
    if trace.skipped_rows:
        head.append(Text(f"note   {plural(trace.skipped_rows, 'bad row')} skipped"))
    models = dict.fromkeys(f"{f.decision} model: {f.certificates[0].model}" for f in findings)
    foot = [Text(""), *(Text(model, style="dim") for model in models)]
    return Group(*head, *(part for finding in findings for part in _block(finding)), *foot)


def load_line(finding: Finding) -> str:
    """At which load, and what that means for the queue; of a decision without a case, on what."""
    case = finding.case
    if case is None:
        return "on expert loads"
    if case.load is None:
        return "no load: the trace has no rate (a single request, or all at one moment)"
    text = f"load {load(case.load)} of the stable rate ({number(case.trace.rate_per_s)} requests/s)"
    if case.load <= 1:
        return text
    least = math.ceil(case.fleet.workers * case.load)
    return f"{text}: overloaded, at this rate the queue grows without end on fewer than {plural(least, 'worker')}"


def _trace_line(trace: Trace) -> str:
    prompt, output = trace.prompt_tokens.mean(), trace.output_tokens.mean()
    when = f"in {number(trace.span_s)} s, {number(trace.rate_per_s)}/s" if trace.span_s > 0 else "at one moment"
    return (
        f"{plural(len(trace), 'request')} {when}, "
        f"mean {number(float(prompt))} prompt and {number(float(output))} output tokens"
    )


def _fleet_line(fleet: Fleet, stable_rate_per_s: float) -> str:
    gpu = fleet.gpu.name if fleet.gpu else "GPU"
    return (
        f"{plural(fleet.workers, 'worker')} of {fleet.gpus_per_worker} x {gpu}, stable up to "
        f"{number(stable_rate_per_s)} requests/s of this kind"
    )


def _block(finding: Finding) -> list[RenderableType]:
    first = finding.certificates[0]
    title = f"\n{load_line(finding)}\ndecision: {finding.decision}; value: {first.objective} in {first.unit}"
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=0)
    table.add_column("policy", no_wrap=True)
    for name in ("value", "bound", "gap", *(SERVED if finding.served else ())):
        table.add_column(name, justify="right", min_width=7)
    for certificate in finding.certificates:
        table.add_row(*_row(finding, certificate), style="bold" if certificate.policy == finding.best else "")
    bound = f"bound by: {first.bound_method}" if first.bound is not None else "bound: none proved for this model"
    return [Text(title), table, *_sentences(finding), Text(bound, style="dim")]


def _row(finding: Finding, certificate: Certificate) -> list[str]:
    name = certificate.policy + (" (today)" if certificate.policy == finding.today else "")
    bound = "none proved" if certificate.bound is None else number(certificate.bound)
    gap = "" if certificate.gap is None else percent(certificate.gap)
    run = finding.served.get(certificate.policy)
    more = [] if run is None else [run.ttft_s.mean(), np.quantile(run.e2e_s, 0.99), run.wait_s.max()]
    return [name, number(certificate.value), bound, gap, *(number(float(value)) for value in more)]


def _sentences(finding: Finding) -> list[Text]:
    """What to change, said of today's policy; and what the row that bounds the wait costs."""
    sentences = [Text(f"-> {finding.of(finding.today).advice}", style="bold")]
    if finding.aside is not None:
        sentences.append(Text(f"   {finding.aside.policy}: {finding.aside.advice}"))
    return sentences
