"""The audit: what a fleet's decisions cost on a trace, and what no policy can beat."""

from shadowprice.audit.case import Case, make_case
from shadowprice.audit.certify import DECISIONS, Audit, audit
from shadowprice.audit.experts import Experts
from shadowprice.audit.finding import Finding
from shadowprice.audit.served import Served, serve
from shadowprice.verb import make_verb

__all__ = ["DECISIONS", "Audit", "Case", "Experts", "Finding", "Served", "audit", "make_case", "serve"]

make_verb(__name__)
