"""The audit: what a fleet's decisions cost on a trace, and what no policy can beat.

options     what is asked                          case       one load of it
decisions   the decisions, a row and a file each   fleet_run  a pair of policies on the whole fleet
finding     what certifying one decision gives     result     all of them, as a table (`table`, `words`)
"""

from shadowprice.audit.case import Case, make_case
from shadowprice.audit.decisions import DECISIONS, audit
from shadowprice.audit.finding import Finding
from shadowprice.audit.fleet_run import FleetRun, run_fleet
from shadowprice.audit.options import AuditOptions
from shadowprice.audit.result import Audit
from shadowprice.verb import make_verb

__all__ = ["DECISIONS", "Audit", "AuditOptions", "Case", "Finding", "FleetRun", "audit", "make_case", "run_fleet"]

make_verb(__name__)
