"""What the admin port asks of the router that runs."""

from typing import Any, Protocol


class Control(Protocol):
    """The router as its admin port sees it. The answers are plain JSON values.

    snapshot: the state now. history: equally long lists, one sample a second, the newest last. shadow: the latest
    evaluation of every policy on the live trace, {"state": "ready", "at_s", "requests", "span_s", "active": name,
    "policies": [{"policy": name, and numbers: idle_share, imbalance_tokens, tpot_s, ttft_p99_s, barrier_s,
    barrier_bound_s, gap, or those of them that there are}]}, or {"state": "collecting", "requests", "needed"}.
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
