"""One worker as the router knows it: its address, whether it may be given requests, what it has done."""

from collections import deque
from dataclasses import dataclass

from shadowprice.router.address import Address, worker_address
from shadowprice.router.http.upstream import Pool

UP, PROBING, EJECTED, DRAINING = "up", "probing", "ejected", "draining"
NOT_PROBED = "not yet probed"
FAILURES_TO_EJECT = 3
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 3.0
BUSY_S = 0.5  # a worker that answered 429 or 503 is left alone for so long
STEP_MEMORY = 0.05  # weight of a new step time
Step = tuple[int, int, float]  # requests, KV tokens, seconds


@dataclass(slots=True)
class Counts:
    """What a worker has done since start, or since it was last told."""

    requests_total: int = 0
    errors_total: int = 0
    retries_total: int = 0
    prompt_tokens_total: int = 0
    generated_tokens_total: int = 0

    def to_json(self) -> dict[str, int]:
        """By name."""
        return {name: getattr(self, name) for name in self.__slots__}

    def add(self, more: "Counts", times: int = 1) -> None:
        """Add these to it, or take them off with -1."""
        self.requests_total += times * more.requests_total
        self.errors_total += times * more.errors_total
        self.retries_total += times * more.retries_total
        self.prompt_tokens_total += times * more.prompt_tokens_total
        self.generated_tokens_total += times * more.generated_tokens_total


@dataclass(slots=True)
class Reported:
    """What its metrics tell. kv_capacity_source: what the capacity was read from, or why it is not known.

    foreign: beyond what is counted here. idle_since_s: since when it reports no request, though some were sent there;
    0: it does not.
    """

    kv_capacity_tokens: int | None = None
    kv_capacity_source: str = ""
    foreign_kv_tokens: int = 0
    foreign_requests: int = 0
    idle_since_s: float = 0.0


class Steps:
    """How long its steps take. speed: relative to the other workers. load: requests and KV tokens when last surveyed.

    metronome: the exchange whose tokens tell the step time.
    """

    def __init__(self) -> None:
        self.time_s: float | None = None
        self.speed = 1.0
        self.recent: deque[Step] = deque(maxlen=512)
        self.total = 0
        self.metronome: object | None = None
        self.load = (0, 0)

    def note(self, gap_s: float) -> None:
        """A step took so long."""
        before = self.time_s
        self.time_s = gap_s if before is None else before + STEP_MEMORY * (gap_s - before)
        self.recent.append((*self.load, gap_s))
        self.total += 1

    def take(self, steps: list[Step]) -> None:
        """Steps that another process has seen."""
        own = self.load
        for requests, kv_tokens, gap_s in steps:
            self.load = (requests, kv_tokens)
            self.note(gap_s)
        self.load = own


class LiveWorker:
    """Counters and state; `health.py` and `exchange.py` report what they see, `open_at` says what follows.

    up: gets requests. ejected: failed FAILURES_TO_EJECT times in a row, or its health probes failed. probing: answers
    probes again and gets one request at a time, until one succeeds. draining: finishes what it has.
    """

    def __init__(self, url: str, rank: int | None, ranks: int) -> None:
        self.address: Address = worker_address(url)
        self.path = self.address.path.encode()  # before every target
        self.rank = rank if rank is not None else self.address.rank
        self.name = self.address.url if self.rank is None else f"{self.address.url}@{self.rank}"
        self.endpoint_ranks = ranks
        self.header_rank: int | None = None  # how the endpoint numbers this rank, once that is known (`ranks.py`)
        self.rank_line, self.rank_note = b"", ""
        self.serial = -1  # as in `in_flight.py`
        self.state, self.reason = PROBING if self.rank is None else EJECTED, NOT_PROBED  # ranks are numbered first
        self.pool = Pool()
        self.in_flight = 0
        self.failures = 0
        self.backoff_s = FIRST_BACKOFF_S
        self.eject_until_s = self.busy_until_s = self.last_sign_s = 0.0
        self.newest_begun_s = 0.0  # when the latest sent of the streams that have begun was sent
        self.counts, self.reported, self.steps = Counts(), Reported(), Steps()

    def local_rank(self, first: int) -> int:
        """Its place among the ranks of its endpoint, the first of which is `first` in the fleet."""
        assert self.rank is not None
        return self.rank - first if self.endpoint_ranks == 1 and self.rank >= first else self.rank

    def number(self, header_rank: int, note: str) -> None:
        """Its requests carry this number; note: why that may be wrong."""
        self.header_rank, self.rank_note = header_rank, note
        self.rank_line = b"X-data-parallel-rank: %d\r\n" % header_rank

    def open_at(self, now_s: float) -> bool:
        """May it be given a request."""
        if self.state == UP:
            return now_s >= self.busy_until_s
        return self.state == PROBING and self.in_flight == 0 and now_s >= self.busy_until_s

    def sent(self) -> None:
        """A request was sent to it."""
        self.in_flight += 1
        self.counts.requests_total += 1

    def left(self, request: object) -> None:
        """A request is no longer there."""
        self.in_flight -= 1
        if self.steps.metronome is request:
            self.steps.metronome = None

    def served(self, prompt_tokens: int, generated_tokens: int) -> None:
        """So much was done for a request."""
        self.counts.prompt_tokens_total += prompt_tokens
        self.counts.generated_tokens_total += generated_tokens

    def busy(self, now_s: float) -> None:
        """It answered that it has enough to do."""
        self.busy_until_s = now_s + BUSY_S
        self.counts.errors_total += 1

    def succeeded(self) -> None:
        """A request was answered."""
        self.failures = 0
        if self.state == PROBING:
            self.state, self.reason = UP, ""
            self.backoff_s = FIRST_BACKOFF_S

    def failed(self, now_s: float, reason: str) -> None:
        """A request came to nothing by the worker's fault."""
        self.counts.errors_total += 1
        self.failures += 1
        if self.state == PROBING or self.failures >= FAILURES_TO_EJECT:
            self.eject(now_s, reason)

    def forgive(self) -> None:
        """The failure counted last was not the worker's."""
        self.failures = max(self.failures - 1, 0)

    def eject(self, now_s: float, reason: str) -> None:
        """Give it nothing until its probes succeed again."""
        if self.state == DRAINING:
            return
        if self.state == EJECTED:
            self.reason = reason
            return
        self.state, self.reason = EJECTED, reason
        self.eject_until_s = now_s + self.backoff_s
        self.backoff_s = min(2 * self.backoff_s, LONGEST_BACKOFF_S)
        self.failures = 0
        self.drop_idle()

    def refused(self, now_s: float, reason: str) -> None:
        """Nothing listens there. What it has goes on: who ends in order finishes it, who died has broken it off."""
        self.eject(now_s, reason)
        self.header_rank = None  # what comes back may number otherwise

    def probe_succeeded(self, now_s: float) -> None:
        """It answers its health probe."""
        self.last_sign_s = now_s
        if self.reason == NOT_PROBED and self.state != DRAINING:
            self.state, self.reason = UP, ""
        elif self.state == EJECTED and now_s >= self.eject_until_s:
            self.state, self.reason = PROBING, "answers health probes again"

    def drop_idle(self) -> None:
        """Close the connections that nobody uses."""
        while self.pool.idle:
            self.pool.idle.pop().close()

    def drain(self) -> None:
        """It is to be removed once idle."""
        self.state, self.reason = DRAINING, "being removed"

    def revive(self) -> None:
        """It was to be removed once idle, and is asked for again."""
        if self.state == DRAINING:
            known = self.rank is None or self.header_rank is not None
            self.state, self.reason = PROBING if known else EJECTED, NOT_PROBED


def ranks_of(url: str, ranks_per_endpoint: int) -> list[LiveWorker]:
    """The workers behind one URL: one, or one for each data-parallel rank."""
    if ranks_per_endpoint == 1 or worker_address(url).rank is not None:
        return [LiveWorker(url, None, 1)]
    return [LiveWorker(url, rank, ranks_per_endpoint) for rank in range(ranks_per_endpoint)]
