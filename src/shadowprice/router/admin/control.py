"""What the admin port asks of the router that runs."""

from typing import Any, Protocol


class Control(Protocol):
    """The router as its admin port sees it. The answers are plain JSON values.

    snapshot: the state now. history: equally long lists, one sample a second, the newest last. shadow: the latest
    evaluation of every policy on the live trace: {"state": "ready", "requests", "window_s", "evaluated_s", "model",
    "objective", "bound_method", "rows": [{"policy", "active", "idle_share", "ttft_p50_s", "ttft_p99_s", "tpot_s",
    "e2e_mean_s", "throughput_tok_s", "value", "bound", "gap"}], "measured", "model_error" (of the row's times and
    throughput), "last_error"}; before there is one {"state": "collecting" or "evaluating", "requests", "needed",
    "last_error"}.
    """

    def snapshot(self) -> dict[str, Any]: ...

    def history(self) -> dict[str, Any]: ...

    def shadow(self) -> dict[str, Any]: ...

    async def add_worker(self, url: str) -> list[str]:
        """Names of the workers (ranks) behind the URL, now served; raises RouterError."""
        ...

    async def remove_worker(self, name: str, *, drain: bool) -> None:
        """drain: let its streams finish first, else break them off; raises RouterError."""
        ...

    async def set_policy(self, name: str) -> None:
        """Swap the routing policy without dropping a request; raises PolicyError."""
        ...
