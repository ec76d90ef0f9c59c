"""Many simulations at once: the same function on many cases, on the local cores or on a cluster."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from shadowprice.errors import ShadowpriceError
from shadowprice.extras import needs

Item = TypeVar("Item")
Result = TypeVar("Result")


def sweep(
    function: Callable[[Item], Result],
    cases: Sequence[Item],
    *,
    jobs: int = -1,
    backend: str = "loky",
    small: bool = False,
    done: Callable[[int], None] = lambda cases: None,
) -> list[Result]:
    """function(case) of every case, in order; the same results whatever the backend and the number of jobs.

    jobs: processes, -1 for all cores (of the cluster, too); 1 runs here. backend: "loky" (local processes), "ray" or
    "dask": connect first (`ray.init`, `dask.distributed.Client`), or the cluster is the one that RAY_ADDRESS or
    DASK_SCHEDULER_ADDRESS names, or a local one. small: what there is to do is not worth local processes.
    When a process is killed its batch is run again, up to three times; what was finished before is kept. done: is told
    after each batch how many cases are finished.
    Raises ShadowpriceError for a backend that is unknown or not installed, and when processes die again and again;
    MissingExtraError without joblib, where jobs are not 1.
    """
    if jobs == 0 or jobs < -1:
        raise ShadowpriceError(f"jobs is {jobs}; expected -1 for all cores, or 1 and more")
    results: list[Result] = []
    if jobs == 1 or len(cases) < 2 or (small and backend == "loky"):
        for case in cases:
            results.append(function(case))
            done(len(results))
        return results
    needs("sweep")
    from shadowprice.plan.processes import spread  # needs joblib, which not every user of a plan has

    return spread(function, cases, jobs, backend, done)
