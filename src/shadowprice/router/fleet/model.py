"""What the router takes the fleet to be: learned from the workers' steps."""

from shadowprice.fleet.worker import Worker
from shadowprice.router.fleet.fleet import Fleet
from shadowprice.router.fleet.learn_step import fit_steps, fit_workers
from shadowprice.router.settings import Settings

DEFAULT_SLOTS = 256  # vLLM's max_num_seqs, where none is set


def learn(fleet: Fleet, settings: Settings) -> None:
    """Fit the step time, and each worker's speed where they do not wait for one another."""
    workers = fleet.workers
    steps = [list(worker.steps.recent) for worker in workers]
    if fleet.lockstep:
        step_time = fit_steps(step for of_one in steps for step in of_one)
    else:
        step_time, speeds = fit_workers(steps)
        for worker, speed in zip(workers, speeds, strict=True):
            worker.steps.speed = speed
    capacities = [worker.reported.kv_capacity_tokens for worker in workers if worker.reported.kv_capacity_tokens]
    fleet.model = Worker(
        step_time,
        max_num_seqs=settings.max_num_seqs or DEFAULT_SLOTS,
        kv_tokens=settings.max_kv_tokens or min(capacities, default=fleet.model.kv_tokens),
    )
