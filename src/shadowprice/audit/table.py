"""The certificates as a table for the terminal."""

import io
import math
from collections.abc import Sequence

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from shadowprice.audit.finding import Finding
from shadowprice.audit.words import number, percent, plural
from shadowprice.certificate import Certificate
from shadowprice.fleet.fleet import Fleet
from shadowprice.workload.trace import Trace

WIDTH = 110  # of the text where there is no terminal to ask


def audit_table(trace: Trace, fleet: Fleet, stable_rate_per_s: float, findings: Sequence[Finding]) -> RenderableType:
    """Trace and fleet in a line each, then a block for every load."""
    head = [
        Text(f"trace  {trace.name}: {_trace_line(trace)}"),
        Text(f"fleet  {fleet.name}: {_fleet_line(fleet, stable_rate_per_s)}"),
        *(Text(f"note   {note}") for note in trace.notes),
    ]
    if trace.skipped_rows:
        head.append(Text(f"note   {plural(trace.skipped_rows, 'bad row')} skipped"))
    return Group(*head, *(part for finding in findings for part in _block(finding)))


def as_text(table: RenderableType) -> str:
    """The table as plain text."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get().rstrip("\n")


def as_html(table: RenderableType) -> str:
    """The table for a notebook."""
    console = Console(file=io.StringIO(), width=WIDTH, record=True)
    console.print(table)
    return console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")


def load_line(finding: Finding) -> str:
    """At which load, and what that means for the queue."""
    case = finding.case
    if case.load is None:
        return "no load: the trace has no rate (a single request, or all at one moment)"
    text = f"load {number(case.load)} of the stable rate ({number(case.trace.rate_per_s)} requests/s)"
    if case.load <= 1:
        return text
    least = math.ceil(case.fleet.workers * case.load)
    return f"{text}: overloaded, at this rate the queue grows without end on fewer than {plural(least, 'worker')}"


def _trace_line(trace: Trace) -> str:
    prompt, output = trace.prompt_tokens.mean(), trace.output_tokens.mean()
    return (
        f"{plural(len(trace), 'request')} in {number(trace.span_s)} s, {number(trace.rate_per_s)}/s, "
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
    title = f"\n{load_line(finding)}\n{finding.decision}: {first.objective} [{first.unit}]"
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1))
    table.add_column("policy", no_wrap=True)
    for name in ("value", "bound", "gap", "mean TTFT", "p99 latency", "longest wait"):
        table.add_column(name, justify="right")
    for certificate in finding.certificates:
        style = "bold" if certificate.policy == finding.best else ""
        table.add_row(*_row(finding, certificate), style=style)
    today = finding.of(finding.today)
    sentences = [Text(f"-> {today.advice}", style="bold"), *_other_advice(finding)]
    bound = Text(f"bound: {first.bound_method if first.bound is not None else 'none proved'}", style="dim")
    return [Text(title), table, *sentences, bound]


def _row(finding: Finding, certificate: Certificate) -> list[str]:
    name = certificate.policy + (" (today)" if certificate.policy == finding.today else "")
    bound = "none proved" if certificate.bound is None else number(certificate.bound)
    gap = "" if certificate.gap is None else percent(certificate.gap)
    run = finding.served.get(certificate.policy)
    more = [] if run is None else [run.ttft_s.mean(), np.quantile(run.e2e_s, 0.99), run.wait_s.max()]
    return [name, number(certificate.value), bound, gap, *(number(float(value)) for value in more)]


def _other_advice(finding: Finding) -> list[Text]:
    """What the last row, the one with a bound on waiting, says of its price."""
    last = finding.certificates[-1]
    return [] if last.policy in (finding.today, finding.best) else [Text(f"   {last.policy}: {last.advice}")]
