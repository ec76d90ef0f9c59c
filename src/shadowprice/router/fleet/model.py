"""What the router takes the fleet to be: learned from the workers' steps, given to policies and to the evaluation."""

from shadowprice.fleet.worker import Worker
from shadowprice.router.fleet.learn_step import fit_steps, fit_workers
from shadowprice.router.fleet.worker import UP
from shadowprice.router.router import Router
from shadowprice.router.shadow.runner import ShadowSetting

DEFAULT_SLOTS = 256  # vLLM's max_num_seqs, where none is set


def learn(router: Router) -> None:
    """Fit the step time, and each worker's speed where they do not wait for one another."""
    settings, workers = router.settings, router.workers
    steps = [list(worker.steps) for worker in workers]
    if settings.lockstep:
        step_time = fit_steps(step for of_one in steps for step in of_one)
    else:
        step_time, speeds = fit_workers(steps)
        for worker, speed in zip(workers, speeds, strict=True):
            worker.speed = speed
    capacities = [worker.kv_capacity_tokens for worker in workers if worker.kv_capacity_tokens]
    router.model = Worker(
        step_time,
        max_num_seqs=settings.max_num_seqs or DEFAULT_SLOTS,
        kv_tokens=settings.max_kv_tokens or min(capacities, default=router.model.kv_tokens),
    )


def shadow_setting(router: Router) -> ShadowSetting:
    """The fleet and the active policy, for the shadow evaluation."""
    settings = router.settings
    return ShadowSetting(
        workers=max(sum(worker.state == UP for worker in router.workers), 1),
        slots=router.model.max_num_seqs,
        step_time=router.model.step_time,
        lockstep=settings.lockstep,
        active=router.dispatcher.policy.name,
        kv_tokens=router.model.kv_tokens,
        pool=settings.pool if settings.max_num_seqs else None,
        prefill_kv_tokens=settings.prefill_kv_tokens,
        most_passes=settings.most_passes,
    )
