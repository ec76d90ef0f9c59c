"""Experts of an MoE model: where they live, and how a batch's tokens are split over replicas (docs/experts.md)."""

import time
from dataclasses import dataclass

import numpy as np

from shadowprice.arrays import FloatArray
from shadowprice.audit.finding import Finding
from shadowprice.certificate import Certificate
from shadowprice.experts.certify import certify_comparison
from shadowprice.experts.compare import Comparison, compare, gpu_loads
from shadowprice.experts.loads import ExpertLoads, Routing

PLACEMENT, DISPATCH = "expert placement", "expert dispatch"
TODAY = {PLACEMENT: "contiguous, even split", DISPATCH: "even"}  # the defaults of production engines


@dataclass(frozen=True)
class Experts:
    """Expert loads to certify on: gpus that a layer's experts are spread over, and redundant replicas per layer.

    batch_tokens: of a batch, where tokens are known one by one.
    """

    loads: ExpertLoads | Routing
    gpus: int
    redundant: int = 8
    batch_tokens: int = 2048
    seed: int = 0


def certify(experts: Experts) -> tuple[Finding, Finding]:
    """Placement, and dispatch on EPLB's placement: chosen on the first half of the loads, judged on the second.

    Raises ExpertError where loads and GPUs do not fit; RuntimeError if a value beats a bound.
    """
    started = time.perf_counter()
    rng = np.random.default_rng(experts.seed)
    found = compare(experts.loads, experts.gpus, experts.redundant, rng, batch_tokens=experts.batch_tokens)
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
