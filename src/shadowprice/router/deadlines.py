"""What happens by the clock and not by a message: silence, slow senders, waits that are too long."""

from shadowprice.router.exchange import Exchange
from shadowprice.router.fleet.worker import EJECTED, PROBING, LiveWorker
from shadowprice.router.router import Router

TICK_S = 0.25


def tick(router: Router, now_s: float) -> None:
    """To be called every TICK_S."""
    router.flights.end_penalties(now_s)
    for exchange in list(router.active):
        _watch(router, exchange, now_s)
    router.dispatcher.expire(now_s)
    for client in [client for client in router.door.clients if client.late_at(now_s)]:
        client.late()
    router.dispatcher.schedule()


def _watch(router: Router, exchange: Exchange, now_s: float) -> None:
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
        if exchange.row >= 0 and worker.steps.time_s and not exchange.load.ask.stream:
            _guess_progress(router, exchange, worker.steps.time_s, now_s)
    if silent_s > limit_s:
        router.lost(exchange, f"no sign of progress for {silent_s:.1f} s", now_s, stale=False)
    elif not exchange.head_sent and _forgotten(exchange, worker, limit_s, now_s):
        router.lost(exchange, "the worker has lost the request", now_s, stale=False)
    elif now_s - exchange.arrival_s > router.settings.request_timeout_s:
        router.give_up(exchange, now_s)


def _forgotten(exchange: Exchange, worker: LiveWorker, limit_s: float, now_s: float) -> bool:
    """The worker lives, but will not answer this one: it swallowed the request in an illness that is over.

    Engines begin in order of arrival (but for priorities), so a stream is lost when one sent long after it has begun. A
    plain answer may take long: its request is lost when the worker has reported for long that it has none.
    """
    if exchange.load.ask.stream:
        return exchange.priority <= 0 and exchange.sent_s + limit_s < worker.newest_begun_s
    idle_since_s = worker.reported.idle_since_s
    return idle_since_s > 0 and now_s - max(idle_since_s, exchange.sent_s) > limit_s


def _guess_progress(router: Router, exchange: Exchange, step_time_s: float, now_s: float) -> None:
    """A plain answer tells nothing until it is whole: count a token per step of the worker, as many as it may have."""
    steps = int((now_s - exchange.sent_s) / step_time_s)
    router.flights.generated[exchange.row] = max(min(steps, exchange.load.ask.most_tokens), 1)
