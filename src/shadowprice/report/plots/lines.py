"""Which line of a plot is drawn how: today's policy, the best and the one with a bound on waiting stand out."""

from typing import Any

from shadowprice.audit.finding import Finding
from shadowprice.report.figure import AGED, BEST, OTHER, TODAY

DASHES = ("--", "-.", ":", (0, (6, 2, 1, 2, 1, 2)), (0, (1, 3)))


def line_styles(finding: Finding) -> dict[str, dict[str, Any]]:
    """Per policy the arguments of its line; the first to draw comes first, the outstanding ones last."""
    last = finding.certificates[-1].policy
    outstanding = {last: AGED, finding.today: TODAY, finding.best: BEST}
    rest = [c.policy for c in finding.certificates if c.policy not in outstanding]
    styles: dict[str, dict[str, Any]] = {
        policy: {"color": OTHER, "linestyle": DASHES[i % len(DASHES)], "linewidth": 1.1}
        for i, policy in enumerate(rest)
    }
    return styles | {policy: {"color": color, "linewidth": 2.0} for policy, color in outstanding.items()}


def label(finding: Finding, policy: str) -> str:
    """The policy's name, today's marked."""
    return f"{policy} (today)" if policy == finding.today else policy
