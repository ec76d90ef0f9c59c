"""A worker with data-parallel ranks whose front end reads the header X-data-parallel-rank in one way or another."""

from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

HEADER = "X-data-parallel-rank"


@dataclass
class RankWorker:
    """Holds the ranks first, ..., first + count - 1 of its fleet.

    takes: does the front end know this number. labelled: do its metrics name the ranks. key: what it wants to be shown.
    seen: (number, tokens asked for) of every request that it completed; asked: numbers of all, in order.
    """

    first: int
    count: int
    takes: Callable[[int], bool]
    labelled: bool = True
    key: str = ""
    busy: int = 0  # so many completions are answered 503 first
    seen: list[tuple[int, int]] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)

    def app(self) -> web.Application:
        """Its HTTP side."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/health", self._health),
                web.get("/metrics", self._metrics),
                web.get("/v1/models", self._models),
                web.post("/v1/completions", self._complete),
            ]
        )
        return app

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response()

    async def _metrics(self, request: web.Request) -> web.Response:
        ranks = range(self.first, self.first + self.count) if self.labelled else ()
        lines = []
        for rank in ranks:
            labels = f'{{engine="{rank}",model_name="tiny"}}'
            config = f'{{block_size="16",engine="{rank}",num_gpu_blocks="{100 + rank}"}}'
            lines += [f"vllm:num_requests_running{labels} 0.0", f"vllm:num_requests_waiting{labels} 0.0"]
            lines += [f"vllm:kv_cache_usage_perc{labels} 0.0", f"vllm:cache_config_info{config} 1.0"]
        return web.Response(text="".join(line + "\n" for line in lines))

    async def _models(self, request: web.Request) -> web.Response:
        if self._refused(request):
            return web.json_response({"error": {"message": "Unauthorized"}}, status=401)
        return web.json_response({"object": "list", "data": [{"id": "tiny"}, {"id": "an adapter"}]})

    async def _complete(self, request: web.Request) -> web.Response:
        number, body = int(request.headers[HEADER]), await request.json()
        self.asked.append(number)
        if self._refused(request):
            return web.json_response({"error": {"message": "Unauthorized"}}, status=401)
        if self.busy:
            self.busy -= 1
            return web.json_response({"error": {"message": "busy"}}, status=503)
        if not self.takes(number):
            message = f"data_parallel_rank {number} is out of range [0, {self.count})."
            return web.json_response({"error": {"message": message, "code": 400}}, status=400)
        self.seen.append((number, body["max_tokens"]))
        usage = {"prompt_tokens": 1, "completion_tokens": body["max_tokens"]}
        return web.json_response({"choices": [{"text": "a"}], "usage": usage})

    def _refused(self, request: web.Request) -> bool:
        return bool(self.key) and request.headers.get("Authorization") != f"Bearer {self.key}"
