"""Sweeps: the same results however they are run, and no loss when a process dies."""

import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from shadowprice.errors import ShadowpriceError
from shadowprice.plan.measure import At, Policies
from shadowprice.plan.sizing.plan import _at
from shadowprice.plan.sweep import sweep
from shadowprice.plan.targets import Targets
from shadowprice.scheduling.policies import fcfs
from tests.plan.plan_cases import chat, h100

try:
    import cloudpickle
except ImportError:  # older joblib brings its own
    from joblib.externals import cloudpickle

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # processes cannot import a test
SIZES = [1, 2, 3, 5, 8]


def served_by() -> Callable[[int], At]:
    """Number of workers -> what it does to a trace."""
    return partial(_at, chat(500), h100(), Targets(0.2, 0.03), Policies(fcfs()))


def dies_once(folder: Path, case: int) -> int:
    """Kills its own process the first time it sees case 3."""
    mark = folder / "died"
    if case == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return case * case


def always_dies(case: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return case


def grows(case: int) -> int:
    """Keeps 400 MB in its process, and takes long enough for loky to look."""
    if not hasattr(sys, "kept_by_test"):
        sys.kept_by_test = b"x" * 400_000_000  # type: ignore[attr-defined]
    time.sleep(1.1)
    return os.getpid()


def is_blocked(case: int) -> bool:
    """Whether an interrupt of the terminal passes this process by."""
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_an_interrupt_is_for_the_process_that_started_the_sweep() -> None:
    assert all(sweep(is_blocked, list(range(6)), jobs=2))
    assert not is_blocked(0)


def test_no_jobs_is_an_error() -> None:
    with pytest.raises(ShadowpriceError, match="jobs is 0; expected -1 for all cores, or 1 and more"):
        sweep(is_blocked, [1, 2], jobs=0)


def test_results_are_the_same_here_and_in_processes() -> None:
    assert sweep(served_by(), SIZES, jobs=2) == sweep(served_by(), SIZES, jobs=1)


def test_a_killed_process_does_not_lose_the_sweep(tmp_path: Path) -> None:
    assert sweep(partial(dies_once, tmp_path), list(range(12)), jobs=2) == [n * n for n in range(12)]
    assert (tmp_path / "died").exists()


def test_a_case_that_always_kills_is_an_error() -> None:
    with pytest.raises(ShadowpriceError, match="killed 3 times"):
        sweep(always_dies, [1, 2], jobs=2)


def test_processes_that_have_grown_are_replaced_in_silence() -> None:
    """loky warns of it in the thread that hears from them, and warnings are errors here."""
    processes = sweep(grows, list(range(4)), jobs=2)
    assert len(set(processes)) > 2


def test_unknown_and_missing_backends_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ShadowpriceError, match="accepted: loky, ray, dask"):
        sweep(served_by(), [1, 2], backend="spark")
    monkeypatch.setitem(sys.modules, "ray.util.joblib", None)
    with pytest.raises(ShadowpriceError, match="needs ray, which is not installed"):
        sweep(served_by(), [1, 2], backend="ray")


def test_a_local_ray_cluster_gives_the_same_results_and_survives_a_kill(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray", reason="ray is not installed (it is in the dev extra)")
    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR")
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        assert sweep(served_by(), SIZES, backend="ray") == sweep(served_by(), SIZES, jobs=1)
        assert sweep(partial(dies_once, tmp_path), list(range(12)), backend="ray") == [n * n for n in range(12)]
        assert (tmp_path / "died").exists()
    finally:
        ray.shutdown()


def test_a_local_dask_cluster_gives_the_same_results_and_survives_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed", reason="dask is not installed (it is in the dev extra)")
    monkeypatch.syspath_prepend(Path(__file__).parents[2])  # dask pickles functions by name
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, distributed.Client(cluster):
        assert sweep(served_by(), SIZES, backend="dask") == sweep(served_by(), SIZES, jobs=1)
        assert sweep(partial(dies_once, tmp_path), list(range(12)), backend="dask") == [n * n for n in range(12)]
        assert (tmp_path / "died").exists()
