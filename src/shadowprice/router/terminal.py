"""What the router says where it was started, on stderr."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from shadowprice.router.fleet.worker import DRAINING, NOT_PROBED, PROBING, UP, LiveWorker

if TYPE_CHECKING:
    from shadowprice.router.server import Server


def greet(server: "Server") -> None:
    """Where it serves, with what, and where its dashboard is."""
    settings = server.settings
    scheme = "http" if settings.ssl_certfile is None else "https"
    workers = len(server.router.workers)
    lines = [
        f"serving    {scheme}://{settings.host}:{server.port}, {workers} worker{'' if workers == 1 else 's'}, "
        f"policy {server.router.dispatcher.policy.name}"
        + (f", {settings.processes} processes" if settings.processes > 1 else ""),
        f"dashboard  http://{settings.prometheus_host}:{server.admin_port}/ (metrics: /metrics)",
    ]
    if workers > 1:
        together = "together, as data-parallel ranks with experts do (if each by itself: --no-lockstep)"
        lines.append(f"workers    step {together if settings.lockstep else 'each by itself'}")
    if server.recorder is not None:
        lines += [f"recording  {settings.record}", *server.recorder.notes]
    if not workers:
        lines.append("no worker yet: add one with POST /workers on the dashboard's port, or in --worker-file")
    print("\n".join(lines), file=sys.stderr, flush=True)


class States:
    """Which workers are known to be down, so that a line can say when one goes down or comes up."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[str, str]] = {}  # state and reason, by name

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
