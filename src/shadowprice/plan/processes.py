"""A sweep over processes: joblib's, on this machine or on a cluster."""

import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from multiprocessing import resource_tracker
from typing import Any, TypeVar

import joblib  # type: ignore[import-untyped]
from joblib.externals.loky.backend import resource_tracker as loky_tracker  # type: ignore[import-untyped]
from joblib.externals.loky.process_executor import TerminatedWorkerError  # type: ignore[import-untyped]

from shadowprice.errors import ShadowpriceError

BACKENDS = ("loky", "ray", "dask")  # local processes, or a cluster that is already there
BATCH = 4  # cases per process and batch: what is lost when a process dies
ATTEMPTS = 3

Item = TypeVar("Item")
Result = TypeVar("Result")


def spread(
    function: Callable[[Item], Result],
    cases: Sequence[Item],
    jobs: int,
    backend: str,
    done: Callable[[int], None],
) -> list[Result]:
    """What `sweep` does where there is more than one process: batch after batch."""
    results: list[Result] = []
    with _backend(backend) as deaths:
        if backend == "loky":
            _start_processes(jobs)
        size = BATCH * joblib.effective_n_jobs(jobs)
        for first in range(0, len(cases), size):
            results += _survive(function, cases[first : first + size], jobs, deaths)
            done(len(results))
    return results


def _start_processes(jobs: int) -> None:
    """Start them with SIGINT blocked, for as long as they live: Ctrl-C is for this process, which then ends them."""
    for tracker in (resource_tracker, loky_tracker):  # what starts them unblocks it
        tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        joblib.Parallel(n_jobs=jobs)(joblib.delayed(abs)(k) for k in range(joblib.effective_n_jobs(jobs)))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _survive(
    function: Callable[[Item], Result], cases: Sequence[Item], jobs: int, deaths: tuple[type[Exception], ...]
) -> list[Result]:
    """One batch, again when a process is killed, which raises one of `deaths`."""
    for _ in range(ATTEMPTS):
        try:
            finished: list[Result] = joblib.Parallel(n_jobs=jobs)(joblib.delayed(function)(case) for case in cases)
            return finished
        except deaths as error:
            killed = error
    raise ShadowpriceError(
        f"processes of a sweep were killed {ATTEMPTS} times in a row; with too little memory, fewer jobs may help"
    ) from killed


@contextmanager
def _backend(name: str) -> Iterator[tuple[type[Exception], ...]]:
    """Work on this backend; what it raises when processes die (dask starts others by itself, three times)."""
    if name not in BACKENDS:
        raise ShadowpriceError(f"backend is {name!r}; accepted: {', '.join(BACKENDS)}")
    deaths: tuple[type[Exception], ...] = (TerminatedWorkerError,)
    with ExitStack() as until_done:
        if name == "ray":
            _installed("ray.util.joblib", "ray").register_ray()
            deaths = (import_module("ray.exceptions").RayActorError,)
        elif name == "dask":
            distributed = _installed("distributed", "dask[distributed]")
            deaths = (distributed.KilledWorker,)
            try:
                distributed.get_client()
            except ValueError:  # none is connected
                until_done.enter_context(distributed.Client())
        until_done.enter_context(joblib.parallel_config(backend=name))
        until_done.enter_context(warnings.catch_warnings())
        # It replaces processes that have grown (by a trace, compiled kernels) and loses nothing; raised as an error, it
        # would end the thread that hears from them, and the sweep would wait for ever.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        yield deaths


def _installed(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise ShadowpriceError(f"this backend needs {package}, which is not installed") from None
