"""The fleet as the router knows it, and its policy, as the shadow evaluation takes them."""

from shadowprice.router.fleet.fleet import Fleet
from shadowprice.router.fleet.worker import UP
from shadowprice.router.settings import Settings
from shadowprice.router.shadow.score import ShadowSetting


def shadow_setting(fleet: Fleet, settings: Settings, active: str) -> ShadowSetting:
    """active: the routing policy's name."""
    return ShadowSetting(
        workers=max(sum(worker.state == UP for worker in fleet.workers), 1),
        slots=fleet.model.max_num_seqs,
        step_time=fleet.model.step_time,
        lockstep=fleet.lockstep,
        active=active,
        kv_tokens=fleet.model.kv_tokens,
        pool=settings.pool if settings.max_num_seqs else None,
        prefill_kv_tokens=settings.prefill_kv_tokens,
        most_passes=settings.most_passes,
    )
