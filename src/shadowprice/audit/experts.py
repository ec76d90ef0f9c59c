"""Experts of an MoE model: where they live, and how a batch's tokens are split over replicas (docs/experts.md)."""

import time

import numpy as np

from shadowprice.arrays import FloatArray
from shadowprice.audit.case import Case
from shadowprice.audit.finding import Finding
from shadowprice.certificate import Certificate
from shadowprice.experts.certify import certify_comparison
from shadowprice.experts.compare import Comparison, compare, gpu_loads

PLACEMENT, DISPATCH = "expert placement", "expert dispatch"
TODAY = {PLACEMENT: "contiguous, even split", DISPATCH: "even"}  # the defaults of production engines


def certify(case: Case) -> tuple[Finding, ...]:
    """Placement, and dispatch on EPLB's placement: chosen on the first half of the loads, judged on the second.

    Nothing without expert loads; the trace plays no part. Raises ExpertError where loads and GPUs do not fit;
    RuntimeError if a value beats a bound.
    """
    if case.expert_loads is None or not case.last:
        return ()
    started = time.perf_counter()
    options = case.options.experts
    rng = np.random.default_rng(options.seed)
    found = compare(case.expert_loads, options, rng=rng)
    certificates = certify_comparison(found, rng, time.perf_counter() - started)
    return _finding(PLACEMENT, certificates, found), _finding(DISPATCH, certificates, found)


def _finding(decision: str, certificates: list[Certificate], found: Comparison) -> Finding:
    made = tuple(c for c in certificates if c.decision == decision)
    best = min(made, key=lambda c: c.value).policy
    shown = {policy: _gpu_loads(decision, policy, found) for policy in (TODAY[decision], best)}
    return Finding(decision, None, made, TODAY[decision], best, gpu_loads=shown)


def _gpu_loads(decision: str, policy: str, found: Comparison) -> FloatArray:
    if decision == DISPATCH:
        return gpu_loads(found, "eplb", policy)
    name, dispatch = policy.removesuffix(" split").split(", ")
    return gpu_loads(found, f"shadowprice for {dispatch}" if name == "shadowprice" else name, dispatch)
