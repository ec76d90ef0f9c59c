"""What happens by the clock and not by a message: silence, slow senders, waits that are too long."""

from typing import TYPE_CHECKING

from shadowprice.router.fleet.worker import EJECTED, PROBING
from shadowprice.router.http.head import error_response

if TYPE_CHECKING:
    from shadowprice.router.exchange import Exchange
    from shadowprice.router.fleet.worker import LiveWorker
    from shadowprice.router.router import Router

TICK_S = 0.25


def tick(router: "Router", now_s: float) -> None:
    """To be called every TICK_S."""
    dispatcher = router.dispatcher
    while router.penalties and router.penalties[0][0] <= now_s:
        router.flights.free(router.penalties.popleft()[1])
    for exchange in list(router.active):
        _watch(router, exchange, now_s)
    dispatcher.expire(now_s)
    for client in [client for client in router.clients if client.late_at(now_s)]:
        client.late()
    dispatcher.schedule()


def _watch(router: "Router", exchange: "Exchange", now_s: float) -> None:
    worker = exchange.worker
    if worker is None:
        return
    limit_s = router.settings.progress_timeout_s
    if exchange.head_sent:
        silent_s = 0.0 if exchange.client.paused else now_s - exchange.last_s
    else:  # it may be long in the worker's queue: as long as the worker lives
        # but for one that is being tried again: only the request itself can show that it is well
        lives = worker.state not in (PROBING, EJECTED)
        silent_s = now_s - (max(exchange.sent_s, worker.last_sign_s) if lives else exchange.sent_s)
        if exchange.row >= 0 and worker.step_time_s and not exchange.asked.stream:
            _guess_progress(router, exchange, now_s)
    if silent_s > limit_s:
        router.lost(exchange, f"no sign of progress for {silent_s:.1f} s", now_s, stale=False)
    elif not exchange.head_sent and _forgotten(exchange, worker, limit_s, now_s):
        router.lost(exchange, "the worker has lost the request", now_s, stale=False)
    elif now_s - exchange.arrival_s > router.settings.request_timeout_s:
        give_up(router, exchange, now_s)


def _forgotten(exchange: "Exchange", worker: "LiveWorker", limit_s: float, now_s: float) -> bool:
    """The worker lives, but will not answer this one: it swallowed the request in an illness that is over.

    Engines begin in order of arrival (but for priorities), so a stream is lost when one sent long after it has begun. A
    plain answer may take long: its request is lost when the worker has reported for long that it has none.
    """
    if exchange.asked.stream:
        return exchange.priority <= 0 and exchange.sent_s + limit_s < worker.newest_begun_s
    return worker.idle_since_s > 0 and now_s - max(worker.idle_since_s, exchange.sent_s) > limit_s


def _guess_progress(router: "Router", exchange: "Exchange", now_s: float) -> None:
    """A plain answer tells nothing until it is whole: count a token per step of the worker, as many as it may have."""
    worker = exchange.worker
    assert worker is not None and worker.step_time_s
    steps = int((now_s - exchange.sent_s) / worker.step_time_s)
    router.flights.generated[exchange.row] = max(min(steps, exchange.asked.most_tokens), 1)


def give_up(router: "Router", exchange: "Exchange", now_s: float) -> None:
    """It took longer than a request may."""
    client, started, keep_alive = exchange.client, exchange.head_sent, exchange.request.keep_alive
    if started:
        router.ended(exchange, now_s, "truncated")
        client.abort()
        return
    exchange.status = 504
    router.ended(exchange, now_s, "finished")
    message = f"no answer within {router.settings.request_timeout_s:g} s"
    client.respond(error_response(504, message, keep_alive=keep_alive), keep_alive=keep_alive)


def worker_is_dead(router: "Router", worker: "LiveWorker", reason: str, now_s: float) -> None:
    """Its probes failed: nothing new goes there, and what it has not begun to answer goes elsewhere."""
    worker.eject(now_s, reason)
    for exchange in [exchange for exchange in router.active if exchange.worker is worker and not exchange.head_sent]:
        router.lost(exchange, reason, now_s, stale=False)
