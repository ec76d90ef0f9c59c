"""What is asked of a comparison of prefill and decode together and apart."""

from dataclasses import dataclass

from shadowprice.disaggregation import Link
from shadowprice.options import Options
from shadowprice.simulate.disaggregated import FirstToken


@dataclass(frozen=True)
class PoolsOptions(Options):
    """What both ways to use the workers share; round-trips TOML.

    Parameters
    ----------
    workers : int
        To use either way.
    link : Link or None
        Over which KV goes from prefill to decode workers; None: it is free.
    first_token : {"prefill", "decode"}
        Which worker sends the first token (`simulate/disaggregated.py`).
    """

    workers: int = 8
    link: Link | None = None
    first_token: FirstToken = "prefill"
