"""Load that others brought, as the metrics of a worker tell it."""

import asyncio

import aiohttp
from aiohttp import web

from tests.router.in_loop import listening, routing
from tests.router.live import run, until


async def _well() -> web.Response:
    return web.Response()


class Reporting:
    """A worker that answers when it is told to, and reports that it has one request more than it was sent here."""

    def __init__(self) -> None:
        self.running = 0
        self.foreign = 0
        self.finish = asyncio.Event()

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes([web.get("/health", lambda _: _well()), web.get("/metrics", self._metrics)])
        app.add_routes([web.post("/v1/completions", self._complete)])
        return app

    async def _complete(self, request: web.Request) -> web.Response:
        self.running += 1
        await self.finish.wait()
        self.running -= 1
        return web.json_response({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 1}})

    async def _metrics(self, request: web.Request) -> web.Response:
        """Counted at once, told late: what was running may have ended meanwhile."""
        requests = self.running + self.foreign
        self.finish.set()
        await asyncio.sleep(0.05)
        share = (116 * self.running + 1600 * self.foreign) / 16000
        lines = [
            f'vllm:num_requests_running{{engine="0"}} {requests}',
            f'vllm:kv_cache_usage_perc{{engine="0"}} {share}',
            'vllm:cache_config_info{engine="0",block_size="16",num_gpu_blocks="1000"} 1.0',
        ]
        return web.Response(text="\n".join(lines) + "\n")


def test_only_what_others_brought_is_foreign() -> None:
    async def test() -> None:
        worker = Reporting()
        async with (
            listening(worker.app()) as url,
            routing(url, metrics_interval_s=0.1) as server,
            aiohttp.ClientSession() as session,
        ):
            live = server.router.fleet.workers[0]
            await until(lambda: live.reported.kv_capacity_tokens == 16000)
            for _ in range(4):  # each ends while a report that has it is under way
                worker.finish.clear()
                body = {"model": "tiny", "prompt": "x" * 400}
                async with session.post(f"http://127.0.0.1:{server.port}/v1/completions", json=body) as answer:
                    assert answer.status == 200
                await asyncio.sleep(0.06)
                assert (live.reported.foreign_requests, live.reported.foreign_kv_tokens) == (0, 0)
            worker.foreign = 2
            await until(lambda: live.reported.foreign_requests == 2 and live.reported.foreign_kv_tokens == 3200)

    run(test())
