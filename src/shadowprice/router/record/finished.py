"""What is known of a request when it is over: a row for all who keep account."""

from collections.abc import Callable

import msgspec

from shadowprice.router.http.request import Request


class FinishedRequest(msgspec.Struct, frozen=True, gc=False):
    """One request that left the router, served or not.

    arrival_s: unix time. prompt_tokens, output_tokens: 0 where there were none, or unknown. session, tenant, and the
    hashes of the prompt's leading blocks: any 64-bit integers. prefix_block_tokens: what such a block, which is one of
    bytes, was taken to hold at that time (0: not hashed). worker: "" where none was chosen. queue_s: waited inside the
    router. ttft_s: None when not streamed; tpot_s: nor where there was but one token. head_s: until the
    first byte of the answer, or the first token. stop: finished, client_abort, truncated or refused. counts: did it
    compute something. deadline_s: from its arrival.
    """

    arrival_s: float
    prompt_tokens: int
    output_tokens: int
    session: int | None
    tenant: int | None
    priority: int | None
    prefix: tuple[int, ...]
    prefix_block_tokens: int
    worker: str
    queue_s: float
    ttft_s: float | None
    e2e_s: float
    status: int
    streamed: bool
    stop: str
    tpot_s: float | None = None
    head_s: float | None = None
    attempts: int = 1
    counts: bool = True
    deadline_s: float | None = None


Ended = Callable[[FinishedRequest, Request, str], None]  # who hears of it, also of the request and the client's address
