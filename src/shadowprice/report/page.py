"""One self-contained HTML page of an audit: opens offline, prints, follows the reader's light or dark."""

from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from shadowprice.audit.finding import Finding
from shadowprice.audit.result import Audit
from shadowprice.audit.table import load_line
from shadowprice.audit.words import load, number, percent
from shadowprice.errors import ShadowpriceError
from shadowprice.report.facts import fleet_facts, trace_facts
from shadowprice.report.plots import BY_DECISION, CERTIFICATES, SERVED, Plot


def page_html(audit: Audit) -> str:
    """The page as text; everything from the trace and the fleet is escaped."""
    environment = Environment(
        loader=PackageLoader("shadowprice.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"load": load, "number": number, "percent": percent}
    return environment.get_template("page.html").render(
        audit=audit,
        trace_facts=trace_facts(audit.trace),
        fleet_facts=fleet_facts(audit.fleet, audit.stable_rate_per_s),
        blocks=[_block(finding, f"block{i}") for i, finding in enumerate(audit.findings)],
    )


def write_page(audit: Audit, path: str | Path) -> None:
    """Write an audit as one page that opens offline, with tables and plots (HTML).

    Parameters
    ----------
    audit : Audit
        What to show.
    path : str or Path
        Where to.

    Raises
    ------
    ShadowpriceError
        Naming the file when it cannot be written.
    """
    try:
        Path(path).write_text(page_html(audit), encoding="utf-8")
    except OSError as error:
        raise ShadowpriceError(f"{path}: cannot be written: {error.strerror or error}") from None


def _block(finding: Finding, name: str) -> dict[str, Any]:
    of_decision = BY_DECISION.get(finding.decision, ()) if finding.load is not None or finding.gpu_loads else ()
    plots = _plots((*CERTIFICATES, *of_decision), finding, name)
    return {
        "id": name,
        "finding": finding,
        "title": load_line(finding),
        "today": finding.of(finding.today),
        "aside": finding.aside,
        "rows": [_row(finding, certificate.policy) for certificate in finding.certificates],
        "certificate_plots": plots,
        "served_plots": _plots(SERVED, finding, name) if finding.served else [],
    }


def _plots(plots: tuple[Plot, ...], finding: Finding, name: str) -> list[str]:
    return [plot(finding, f"{name}-{plot.__name__}") for plot in plots]


def _row(finding: Finding, policy: str) -> dict[str, Any]:
    run = finding.served.get(policy)
    served = [] if run is None else [run.ttft_s.mean(), np.quantile(run.e2e_s, 0.99), run.wait_s.max()]
    return {"certificate": finding.of(policy), "served": [float(value) for value in served]}
