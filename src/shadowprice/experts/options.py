"""What is asked of expert placement."""

from dataclasses import dataclass

from shadowprice.errors import ExpertError
from shadowprice.experts.gemm_time import GemmTime
from shadowprice.options import Options


@dataclass(frozen=True)
class SearchOptions(Options):
    """What a placement is searched for, and how long.

    quantile: of the largest GPU load over batches; 0: its mean. groups, nodes: as for `eplb`; with several groups, the
    experts of each stay on one node. effort: 1 is about a second of one core (three, with groups on several nodes),
    shared by the layers; twice that is twice the search. Raises ExpertError.
    """

    quantile: float = 0.0
    groups: int = 1
    nodes: int = 1
    effort: float = 1.0

    def __post_init__(self) -> None:
        if self.groups < 1 or self.nodes < 1 or (self.groups > 1 and self.groups % self.nodes):
            raise ExpertError(
                f"{self.groups} expert groups do not divide over {self.nodes} nodes; expected a multiple, as each node "
                "takes as many groups as the others"
            )
        if not 0 <= self.quantile <= 1 or not self.effort > 0:
            raise ExpertError(f"placement: quantile {self.quantile}, effort {self.effort}; expected 0 to 1, and > 0")


@dataclass(frozen=True)
class ExpertOptions(Options):
    """How placements of experts are chosen and judged; round-trips TOML.

    Parameters
    ----------
    gpus : int
        That the experts of a layer are spread over.
    redundant : int
        Replicas more than experts, at least; filled up so that all GPUs have the same number of slots.
    batch_tokens : int
        Of a batch, where tokens are known one by one.
    seed : int
        The same gives the same placements.
    search : SearchOptions
        What our placement is searched for, and how long.
    cost : GemmTime or None
        What placements and splits are judged by: seconds of grouped matrix products; None: tokens.
    """

    gpus: int = 8
    redundant: int = 8
    batch_tokens: int = 2048
    seed: int = 0
    search: SearchOptions = SearchOptions()
    cost: GemmTime | None = None
