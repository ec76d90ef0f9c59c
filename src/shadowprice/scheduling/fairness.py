"""Fairness between tenants: the Virtual Token Counter (Sheng et al., Fairness in Serving LLMs, OSDI 2024).

Each tenant has a counter of w_in * prompt tokens, counted when a request is admitted, plus w_out * output tokens as
they are made. The tenant with the smallest counter among those that wait is served next. Who returns after a pause is
lifted to the floor, so that idling earns no credit: the floor is the smallest counter that waited when the last
admission ended, or, where nobody was left waiting, that of the last tenant admitted.

Guarantee, where nobody is preempted and `max_wait_s` is infinite. Let L be the longest prompt, and R the most output
tokens that one tenant's running requests can still make: at most max_num_seqs times the longest output, and at most
the KV tokens M where the peaks prompt + output - 1 of all that run fit in memory together. Let U = w_in*L + w_out*R.

1. At each decision the counters of any two tenants that wait differ by at most U.
2. So between two decisions at which, and between which, two tenants always wait, the services that they receive
   (w_in * prompt admitted + w_out * output made) differ by at most 2U, however much each asks for.

Proof. The engine admits along the order and stops at the first that does not fit, so at the end of a decision every
admitted request's counter before it was at most that of every tenant left waiting; hence the floor of the next
decision is no smaller than any of them (where nobody is left, it is their largest), and it never falls. A tenant's
counter is what it was before its last admission, plus that prompt, plus what its running requests made since: at most
floor + w_in*L + w_out*R. After a lift without an admission it is at most floor + w_out*R. Who waits has at least the
floor: newcomers by the lift, the others because the floor is a minimum over them. That is 1. Who keeps waiting is
never lifted, so its counter grows by its service alone; the counters differ by at most U at either end: 2.

Under reservation the running requests hold s + sum(o) <= M + 1 tokens, s the last prompt; so with w_in <= w_out
U <= w_out * (M + 1): up to one token the max(w_in*L, w_out*M) of the paper.
"""

from dataclasses import dataclass, field, replace
from math import inf
from typing import ClassVar

import numpy as np

from shadowprice.arrays import FloatArray, IntArray, Records
from shadowprice.errors import PolicyError
from shadowprice.scheduling._fairness_kernel import TENANT, starts
from shadowprice.scheduling.surface import Needs, Requests, TenantService, WorkerState


@dataclass
class _Remembered:
    """What is remembered of the tenants with these codes (rows of TENANT), the floor, and the last largest start."""

    codes: IntArray
    tenants: Records
    floor: float = 0.0
    last: float = 0.0


def _nothing() -> _Remembered:
    return _Remembered(np.zeros(0, np.int64), np.zeros(0, TENANT))


@dataclass
class VirtualTokenCounter:
    """Serve the waiting tenant with the smallest counter; inside a tenant in order of arrival. Remembers lifts.

    w_in, w_out: what a prompt and an output token count. max_wait_s: as in `Ranked`, whoever waited longer goes first;
    finite, it bounds the wait and gives up the guarantee. One object serves one queue; `fresh()` has seen nothing.
    Raises PolicyError outside finite w_in, w_out >= 0 and max_wait_s >= 0, and when requests have tenants but the state
    does not say what these were served.
    """

    name: str = "vtc"
    w_in: float = 1.0
    w_out: float = 2.0
    max_wait_s: float = inf
    needs: ClassVar[Needs] = Needs(tenants=True, progress=True, every_decision=True)
    words: ClassVar[str] = ""
    _memory: _Remembered = field(default_factory=_nothing, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, least_unbounded in (("w_in", inf), ("w_out", inf), ("max_wait_s", None)):
            value = getattr(self, name)
            if not value >= 0 or value == least_unbounded:
                raise PolicyError(f"policy {self.name}: {name} is {value}; expected a number >= 0")

    def fresh(self) -> "VirtualTokenCounter":
        """The same policy, with nothing seen."""
        return replace(self, _memory=_nothing())

    def at_the_door(self, max_wait_s: float) -> "VirtualTokenCounter":
        """The same for a queue before several workers."""
        return replace(self, max_wait_s=max_wait_s, _memory=_nothing())

    def order(self, waiting: Requests, running: Requests, state: WorkerState) -> IntArray:
        """Indices into `waiting`, best first. Requests without tenants are served in order of arrival."""
        if waiting.tenant is None or len(waiting) == 0:
            return np.arange(len(waiting))
        if state.served is None:
            raise PolicyError(
                f"policy {self.name}: requests have tenants, but state.served is None; expected a TenantService"
            )
        start = self._starts(waiting, waiting.tenant, state.served)
        late = state.now_s - waiting.arrival_s > self.max_wait_s
        start[late] = -inf  # the late first, and these as all equals in order of arrival
        return np.argsort(start, kind="stable")

    def forget(self, served: TenantService, present: IntArray, most: int) -> TenantService:
        """Forget the tenants that make no difference any more; what is left of `served` is to be given from now on.

        present: codes of the tenants that wait or run. Forgotten is who is neither, did not wait at the last decision,
        and has a counter of at most the floor. That changes no decision: the floor never falls, so on its return such a
        tenant is lifted to the floor of then, whether its counter is known or starts at nothing. If more than `most`
        are left, absent ones follow, the smallest counter first: on their return it is as if they had never come.
        """
        memory = self._memory
        prompts, outputs = _of_known(memory, served)
        counters = self.w_in * prompts + self.w_out * outputs + memory.tenants["lift"]
        needed = np.isin(memory.codes, present) | (memory.tenants["waited"] > 0)
        kept = needed | (counters > memory.floor)
        absent = np.flatnonzero(kept & ~needed)
        over = max(int(kept.sum()) - most, 0)
        kept[absent[np.argsort(counters[absent], kind="stable")[:over]]] = False
        memory.codes, memory.tenants = memory.codes[kept], memory.tenants[kept]
        return TenantService(memory.codes, prompts[kept], outputs[kept])

    def _starts(self, waiting: Requests, tenant: IntArray, served: TenantService) -> FloatArray:
        """The counter of each request's tenant when its turn comes, those of its tenant before it admitted."""
        memory = self._memory
        prompts, outputs = _of_known(memory, served)
        start = np.empty(len(waiting))
        columns = (
            np.ascontiguousarray(tenant),
            np.ascontiguousarray(waiting.prompt_tokens),
            np.ascontiguousarray(waiting.generated_tokens),
        )
        weights = float(self.w_in), float(self.w_out)
        floor, last = _run(memory, columns, prompts, outputs, weights, start)
        if last < 0:  # somebody waits who was given nothing yet
            _make_room(memory, tenant)
            prompts, outputs = _of_known(memory, served)
            floor, last = _run(memory, columns, prompts, outputs, weights, start)
        memory.floor, memory.last = floor, last
        return start


def _run(
    memory: _Remembered,
    columns: tuple[IntArray, IntArray, IntArray],
    prompts: IntArray,
    outputs: IntArray,
    weights: tuple[float, float],
    start: FloatArray,
) -> tuple[float, float]:
    served, before = (memory.codes, prompts, outputs), (memory.floor, memory.last)
    found: tuple[float, float] = starts(columns, served, memory.tenants, before, weights, start)
    return found


def _of_known(memory: _Remembered, served: TenantService) -> tuple[IntArray, IntArray]:
    """Prompt and output tokens served of each tenant in memory, which has room for all of those served."""
    if not np.array_equal(memory.codes, served.tenant):
        if np.any(np.diff(served.tenant) <= 0):
            raise PolicyError(f"state.served.tenant is {served.tenant}; expected ascending and distinct codes")
        _make_room(memory, served.tenant)
        place = np.searchsorted(memory.codes, served.tenant)
        prompts, outputs = np.zeros(len(memory.codes), np.int64), np.zeros(len(memory.codes), np.int64)
        prompts[place], outputs[place] = served.prompt_tokens, served.output_tokens
        return prompts, outputs
    return np.ascontiguousarray(served.prompt_tokens), np.ascontiguousarray(served.output_tokens)


def _make_room(memory: _Remembered, codes: IntArray) -> None:
    """Take these tenants into memory, beside those that are."""
    together = np.union1d(memory.codes, codes)
    tenants = np.zeros(len(together), TENANT)
    tenants[np.searchsorted(together, memory.codes)] = memory.tenants
    memory.codes, memory.tenants = together, tenants


def vtc(w_in: float = 1.0, w_out: float = 2.0, max_wait_s: float = inf) -> VirtualTokenCounter:
    """Fair between tenants: least served first, counting an output token as w_out and a prompt token as w_in."""
    return VirtualTokenCounter("vtc", w_in, w_out, max_wait_s)
