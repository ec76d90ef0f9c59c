"""Keeps the requests that finished last, and has every policy scored on them in a process of its own (`score.py`)."""

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, replace
from multiprocessing.process import BaseProcess
from typing import Any

from shadowprice.errors import RouterError
from shadowprice.fleet.worker import Worker
from shadowprice.router.parent import end_with_parent
from shadowprice.router.record.finished import FinishedRequest
from shadowprice.router.shadow.score import ShadowSetting, evaluate
from shadowprice.router.shadow.trace import beside_measured, counts, measured, trace_of
from shadowprice.routing.policies import POLICIES

KEPT = 2000  # requests
NEEDED = 100  # requests: fewer say nothing about a P99, or about balance
EVERY_S = 30.0
LONGEST_S = 600.0  # of an evaluation, which takes a second or two on an idle core
BLOCK_SIZE = Worker.block_size


class ShadowRunner:
    """`add` is for the data path, `tick` for whoever keeps the time; `to_json` is what /shadow returns.

    left_out_total: requests without prompt or output, which no simulation can serve. crashes_total: of the process.
    """

    def __init__(
        self,
        *,
        kept: int = KEPT,
        needed: int = NEEDED,
        every_s: float = EVERY_S,
        policies: Iterable[str] | None = None,
    ) -> None:
        """Raises RouterError where more requests are needed than kept."""
        if not 1 <= needed <= kept:
            raise RouterError(
                f"shadow evaluation needs {needed} requests and keeps {kept}; expected 1 <= needed <= kept"
            )
        self.needed, self.every_s = needed, every_s
        self.policies = tuple(POLICIES if policies is None else policies)
        self.left_out_total = self.evaluations_total = self.crashes_total = 0
        self.last_error = ""
        self._recent: deque[FinishedRequest] = deque(maxlen=kept)
        self._result: dict[str, Any] | None = None
        self._running: Future[dict[str, Any]] | None = None
        self._due_s = self._begun_s = 0.0
        self._executor: ProcessPoolExecutor | None = None
        self._process: BaseProcess | None = None

    def add(self, request: FinishedRequest) -> None:
        """Keep it for the next evaluation."""
        if counts(request):
            self._recent.append(request)
        else:
            self.left_out_total += 1

    def tick(self, setting: ShadowSetting, now_s: float) -> None:
        """Take the result of an evaluation that has ended, and start one that is due. Waits for nothing.

        now_s: of any clock that does not go back.
        """
        if self._running is not None:
            if self._running.done():
                self._take(self._running)
                self._running = None
            elif now_s - self._begun_s <= LONGEST_S:
                return
            else:
                self._crashed(RuntimeError(f"nothing came of an evaluation in {LONGEST_S:.0f} s"))
        if len(self._recent) < self.needed or now_s < self._due_s:
            return
        self._begun_s, self._due_s = now_s, now_s + self.every_s
        try:
            self._running = self._started().submit(_score, list(self._recent), setting, self.policies)
        except (BrokenProcessPool, OSError, RuntimeError) as error:  # it died while idle, or no process can be had
            self._crashed(error)

    def to_json(self) -> dict[str, Any]:
        """The last result, `ready`; before there is one, `collecting`, or `evaluating` when there are enough."""
        about = {
            "left_out_total": self.left_out_total,
            "evaluations_total": self.evaluations_total,
            "crashes_total": self.crashes_total,
            "last_error": self.last_error,
        }
        if self._result is not None:
            return {"state": "ready"} | self._result | about
        state = "evaluating" if self._running is not None else "collecting"
        return {"state": state, "requests": len(self._recent), "needed": self.needed} | about

    @property
    def process_id(self) -> int | None:
        """Of the process that evaluates; None where there is none."""
        return None if self._process is None else self._process.pid

    def close(self) -> None:
        """End the process at once, with what it is doing."""
        executor, process = self._executor, self._process
        self._executor = self._process = self._running = None
        if process is not None:
            process.kill()
        if executor is not None:
            executor.shutdown(wait=True, cancel_futures=True)

    def _take(self, ended: "Future[dict[str, Any]]") -> None:
        try:
            self._result = ended.result()
            self.evaluations_total += 1
            self.last_error = ""
        except BrokenProcessPool as error:
            self._crashed(error)
        except Exception as error:  # whatever an evaluation fails of, the router goes on and says so
            self.last_error = f"{type(error).__name__}: {error}"

    def _crashed(self, error: Exception) -> None:
        self.crashes_total += 1
        self.last_error = f"the evaluating process died or was ended: {error}"
        self.close()

    def _started(self) -> ProcessPoolExecutor:
        if self._executor is None:
            before = set(multiprocessing.active_children())
            # spawned: a fork would copy the router's sockets and threads
            spawned = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(1, mp_context=spawned, initializer=_stand_back)
            self._executor.submit(os.getpid)  # starts the process
            self._process = next(iter(set(multiprocessing.active_children()) - before), None)
        return self._executor


def _stand_back() -> None:
    """In the process: lowest priority, ended by its parent alone, and with it."""
    os.nice(19)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the router decides
    threading.Thread(target=end_with_parent, daemon=True).start()


def _score(requests: list[FinishedRequest], setting: ShadowSetting, policies: tuple[str, ...]) -> dict[str, Any]:
    """What /shadow says of these requests."""
    started_s = time.perf_counter()
    trace = trace_of(requests)
    if setting.kv_tokens is not None:  # a worker that served a request had the memory for it, whatever was believed
        longest = int((trace.prompt_tokens + trace.output_tokens).max())
        setting = replace(setting, kv_tokens=max(setting.kv_tokens, longest + BLOCK_SIZE))
    result = evaluate(trace, setting, policies)
    real = beside_measured(result, measured(requests), setting.active)
    about = {"active": setting.active, "lockstep": setting.lockstep, "step_time": asdict(setting.step_time)}
    spent = {"evaluated_s": time.time(), "took_s": time.perf_counter() - started_s}
    return result.to_json() | about | real | spent
