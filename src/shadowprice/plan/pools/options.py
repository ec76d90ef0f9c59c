"""What is asked of a comparison of prefill and decode together and apart."""

from dataclasses import dataclass

from shadowprice.disaggregation import Link
from shadowprice.options import Options
from shadowprice.simulate.disaggregated import FirstToken


@dataclass(frozen=True)
class PoolsOptions(Options):
    """workers: to use either way. link: KV from prefill to decode workers; None is free.

    first_token: which worker sends the first token (`simulate/disaggregated.py`).
    """

    workers: int = 8
    link: Link | None = None
    first_token: FirstToken = "prefill"
