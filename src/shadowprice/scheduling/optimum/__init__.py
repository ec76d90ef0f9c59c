"""The hindsight optimum of the round model: exact where small, a certified interval at any size."""

from shadowprice.scheduling.optimum.interval import HindsightInterval, hindsight_interval
from shadowprice.scheduling.optimum.lagrangian import Prices, evaluate, lagrangian_bound, surviving_starts
from shadowprice.scheduling.optimum.local_search import place, ranked_starts, search
from shadowprice.scheduling.optimum.program import IntegerOptimum, integer_optimum, linear_bound, useful_starts
from shadowprice.scheduling.optimum.rows import Rows, memory_and_lane_rows, memory_rows
from shadowprice.scheduling.optimum.volume import earliest_finishes, volume_bound

__all__ = [
    "HindsightInterval",
    "IntegerOptimum",
    "Prices",
    "Rows",
    "earliest_finishes",
    "evaluate",
    "hindsight_interval",
    "integer_optimum",
    "lagrangian_bound",
    "linear_bound",
    "memory_and_lane_rows",
    "memory_rows",
    "place",
    "ranked_starts",
    "search",
    "surviving_starts",
    "useful_starts",
    "volume_bound",
]
