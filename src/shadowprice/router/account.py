"""What is told of an exchange that is over: its tokens, its times, how it ended."""

import time

from shadowprice.router.exchange import Exchange
from shadowprice.router.record.finished import FinishedRequest


def learn_usage(exchange: Exchange, how: str) -> bool:
    """Take what the worker says it took for what was counted; does it name the prompt."""
    usage = exchange.usage if exchange.reading is None else exchange.reading.usage
    if usage is None:
        return False
    prompt, generated = usage
    if how != "finished":  # what was told may be of the beginning
        generated = max(generated, exchange.generated)
    exchange.generated = generated or exchange.generated
    if prompt:
        exchange.load.prompt_tokens = prompt
    return prompt > 0


def row_of_end(exchange: Exchange, now_s: float, how: str, block_tokens: int) -> FinishedRequest:
    """What those who keep account are told. block_tokens: of a block of its prefix."""
    load, generated = exchange.load, exchange.generated
    arrival_s, first_s = exchange.arrival_s, exchange.first_s
    streamed = generated > 0 and exchange.reading is not None and exchange.reading.events
    return FinishedRequest(
        time.time() - (now_s - arrival_s),
        load.prompt_tokens,
        generated,
        load.session if load.session >= 0 else None,
        load.tenant if load.tenant >= 0 else None,
        load.ask.priority or None,
        load.prefix,
        block_tokens,
        "" if exchange.worker is None else exchange.worker.name,
        (exchange.sent_s or now_s) - arrival_s,
        first_s - arrival_s if streamed else None,
        now_s - arrival_s,
        exchange.status,
        load.ask.stream,
        how,
        (exchange.last_s - first_s) / (generated - 1) if streamed and generated > 1 else None,
        first_s - arrival_s if first_s else None,
        exchange.attempts,
        exchange.counts,
        load.deadline_s or None,
    )
