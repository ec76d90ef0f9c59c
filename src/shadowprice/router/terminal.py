"""What the router says where it was started, on stderr."""

import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from shadowprice.router.fleet.worker import DRAINING, NOT_PROBED, PROBING, UP, LiveWorker
from shadowprice.router.settings import Settings


class Greeting(NamedTuple):
    """What there is to say at the start. decides: the policy, or what stands in for it. notes: of the record."""

    settings: Settings
    port: int
    admin_port: int
    workers: int
    policy: str
    decides: str
    notes: Sequence[str]


def greet(about: Greeting) -> None:
    """Where it serves, with what, and where its dashboard is."""
    settings, workers = about.settings, about.workers
    scheme = "http" if settings.ssl_certfile is None else "https"
    lines = [
        f"serving    {scheme}://{settings.host}:{about.port}, {workers} worker{'' if workers == 1 else 's'}, "
        f"policy {about.policy}" + (f", {settings.processes} processes" if settings.processes > 1 else ""),
        f"dashboard  http://{settings.prometheus_host}:{about.admin_port}/ (metrics: /metrics)",
    ]
    if about.decides != about.policy:
        lines.append(f"kernels    compiling, once after each installation; until then {about.decides}, decides")
    if workers > 1:
        together = "together, as data-parallel ranks with experts do (if each by itself: --no-lockstep)"
        lines.append(f"workers    step {together if settings.lockstep else 'each by itself'}")
    if settings.record is not None:
        lines += [f"recording  {settings.record}", *about.notes]
    if not workers:
        lines.append("no worker yet: add one with POST /workers on the dashboard's port, or in --worker-file")
    print("\n".join(lines), file=sys.stderr, flush=True)


class States:
    """What was said of the workers, so that a line can say when one goes down or comes up, or what its memory is."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[str, str]] = {}  # state and reason, by name
        self._memory: dict[str, str] = {}  # by name

    def tell_memory(self, workers: Iterable[LiveWorker], given: int | None) -> None:
        """A line for what is newly known of KV memory, once for all that are alike; given: the cap by flag, if any."""
        news: dict[str, list[str]] = {}
        for worker in workers:
            tokens, source = worker.reported.kv_capacity_tokens, worker.reported.kv_capacity_source
            text = f"cap of {tokens:,} KV tokens each ({source})" if tokens else f"no cap on KV tokens ({source})"
            if given is None and source and self._memory.get(worker.name) != text:
                self._memory[worker.name] = text
                news.setdefault(text, []).append(worker.name)
        for text, names in news.items():
            whose = names[0] if len(names) == 1 else f"{len(names)} workers"
            print(f"memory     {whose}: {text}", file=sys.stderr, flush=True)

    def tell(self, workers: Iterable[LiveWorker]) -> None:
        """A line for each whose state is another than was said last; all are taken to be up at first."""
        for worker in workers:
            told, why = self._told.get(worker.name, (UP, ""))
            if worker.state == told or worker.state == DRAINING or worker.reason == NOT_PROBED:
                continue
            if worker.state == PROBING and not why.startswith("nothing listens"):
                continue  # it was there all the time, and may be ejected again every few seconds
            reason = f", {worker.reason}" if worker.reason else ""
            print(f"worker     {worker.name}: {worker.state}{reason}", file=sys.stderr, flush=True)
            self._told[worker.name] = worker.state, worker.reason
