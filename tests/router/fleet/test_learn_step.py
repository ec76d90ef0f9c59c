"""The step time that is learned from gaps between tokens."""

import asyncio

import numpy as np
import pytest

from shadowprice.router.fleet.learn_step import FEW, PRIOR, fit_steps, fit_workers
from shadowprice.router.fleet.model import learn
from shadowprice.router.server import Server
from tests.router.live import RawClient, routed, run, streamed, until
from tests.router.scripted_worker import Answer, scripted, streams


def test_a_linear_step_time_is_found_again_though_some_steps_are_held_up() -> None:
    rng = np.random.default_rng(0)
    running, kv = rng.integers(1, 64, 400), rng.integers(1000, 60_000, 400)
    seconds = 0.01 + 2e-5 * running + 1e-7 * kv
    held_up = rng.random(400) < 0.08
    fitted = fit_steps(zip(running.tolist(), kv.tolist(), (seconds * np.where(held_up, 5, 1)).tolist(), strict=True))
    assert fitted.fixed_s == pytest.approx(0.01, rel=0.02)
    assert fitted.per_kv_token_s == pytest.approx(1e-7, rel=0.05)


def test_a_constant_load_gives_its_time_and_too_few_steps_the_prior() -> None:
    fitted = fit_steps([(4, 1000, 0.03)] * 100)
    assert fitted.seconds(4, 1000, 0) == pytest.approx(0.03)
    assert fit_steps([(4, 1000, 0.03)] * (FEW - 1)) == PRIOR


def steps(rng: np.random.Generator, speed: float, load: float = 1.0) -> list[tuple[int, int, float]]:
    """Of a worker that takes 1 / speed times as long, some of them held up."""
    running = (load * rng.integers(1, 64, 400)).astype(int) + 1
    kv = running * rng.integers(300, 900, 400)
    seconds = (0.01 + 2e-5 * running + 1e-7 * kv) / speed * np.where(rng.random(400) < 0.08, 5, 1)
    return list(zip(running.tolist(), kv.tolist(), seconds.tolist(), strict=True))


@pytest.mark.parametrize("loads", [(1.0, 1.0, 1.0), (1.0, 1.0, 0.4)])
def test_the_speeds_of_unlike_workers_are_found(loads: tuple[float, ...]) -> None:
    rng = np.random.default_rng(1)
    model, speeds = fit_workers([steps(rng, v, load) for v, load in zip((1.0, 1.4, 0.6), loads, strict=True)])
    assert speeds == pytest.approx([1.0, 1.4, 0.6], rel=0.05)
    assert model.seconds(32, 20_000, 0) == pytest.approx(0.01 + 2e-5 * 32 + 1e-7 * 20_000, rel=0.05)


def test_workers_nearly_alike_and_workers_unknown_have_speed_1() -> None:
    rng = np.random.default_rng(2)
    assert fit_workers([steps(rng, 1.0), steps(rng, 1.1)])[1] == [1.0, 1.0]
    assert fit_workers([steps(rng, 1.0), steps(rng, 0.5)[: FEW - 1]])[1] == [1.0, 1.0]
    _, speeds = fit_workers([steps(rng, 1.0), [], steps(rng, 0.5)])
    assert speeds == pytest.approx([4 / 3, 1.0, 2 / 3], rel=0.05)
    assert fit_workers([[], []]) == (PRIOR, [1.0, 1.0]) and fit_workers([]) == (PRIOR, [])


def test_the_faster_of_two_workers_is_given_more_where_they_do_not_step_together() -> None:
    def paced(gap_s: float) -> Answer:
        return streams(16, gap_s=gap_s)

    async def clients(server: Server, enough: asyncio.Event) -> None:
        client = await RawClient.to(server)
        while not enough.is_set():
            await client.send(streamed("a" * 400))
            assert (await client.response()).status == 200

    async def work() -> None:
        async with (
            scripted(paced(0.01)) as fast,
            scripted(paced(0.05)) as slow,
            routed(fast, slow, lockstep=False) as server,
        ):
            enough = asyncio.Event()
            asking = [asyncio.create_task(clients(server, enough)) for _ in range(16)]
            await until(lambda: min(len(worker.steps.recent) for worker in server.router.fleet.workers) >= 2 * FEW)
            learn(server.router.fleet, server.settings)
            speeds = [worker.steps.speed for worker in server.router.fleet.workers]
            assert speeds[0] > 1.5 * speeds[1] and server.router.fleet.speeds() is not None
            loads = []
            for _ in range(100):
                await asyncio.sleep(0.01)
                loads.append([kv + waiting for _, _, kv, waiting in server.router.flights.loads()])
            shares = np.mean(loads, axis=0)
            assert shares[0] > 1.3 * shares[1]
            enough.set()
            await asyncio.gather(*asking)

    run(work())
