"""MoE experts: which GPU holds which expert (placement), and how a batch's tokens are split over replicas.

problem     the two programs, Placement                 graph      LPLB's redundancy graphs
loads       ExpertLoads, Routing; readers, generators   eplb       EPLB's placement, as published
dispatch    the exact split, with the cut that proves it
options     what is asked: GPUs, replicas, how long to search
place       our placement: local search on the dispatched maximum
policies    how engines split                           altering   balancing that changes the model's output
gemm_time   time of grouped matrix products, and the split by it
timed       placements and splits judged by that time
optimum     what no placement can beat                  compare, certify   all of it side by side
write       placements in the forms that vLLM and SGLang load
dispatch_torch   the exact split on tensors (needs torch)
"""

from shadowprice.experts.certify import certify_experts
from shadowprice.experts.compare import Comparison, compare
from shadowprice.experts.dispatch import split_over_edges, split_over_replicas
from shadowprice.experts.eplb import eplb
from shadowprice.experts.gemm_time import GemmTime, gemm_time_of
from shadowprice.experts.generators import dirichlet_loads, zipf_loads
from shadowprice.experts.graph import RedundancyGraph, cubes, from_lplb, hypercube, ring, torus
from shadowprice.experts.loads import ExpertLoads, Routing
from shadowprice.experts.optimum import placement_bound
from shadowprice.experts.options import ExpertOptions, SearchOptions
from shadowprice.experts.place import Budget, place
from shadowprice.experts.problem import Placement, contiguous, slots_for
from shadowprice.experts.readers import read_loads
from shadowprice.experts.write import read_placement, write_placement

__all__ = [
    "Budget",
    "Comparison",
    "ExpertLoads",
    "ExpertOptions",
    "GemmTime",
    "Placement",
    "RedundancyGraph",
    "Routing",
    "SearchOptions",
    "certify_experts",
    "compare",
    "contiguous",
    "cubes",
    "dirichlet_loads",
    "eplb",
    "from_lplb",
    "gemm_time_of",
    "hypercube",
    "place",
    "placement_bound",
    "read_loads",
    "read_placement",
    "ring",
    "slots_for",
    "split_over_edges",
    "split_over_replicas",
    "torus",
    "write_placement",
    "zipf_loads",
]
