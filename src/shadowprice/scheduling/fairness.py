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

import numpy as np

from shadowprice.errors import PolicyError
from shadowprice.scheduling.surface import FloatArray, IntArray, Requests, Served, WorkerState


@dataclass(frozen=True)
class _Decision:
    """What was decided on: per waiting tenant its counter, prompt tokens served and prompt tokens waiting to be.

    returning: whether some of its waiting were preempted, so that admitting them adds no prompt. last: largest start.
    """

    tenant: IntArray
    counter: FloatArray
    served_prompt: IntArray
    waiting_prompt: IntArray
    returning: IntArray
    last: float


@dataclass
class VirtualTokenCounter:
    """Serve the waiting tenant with the smallest counter; inside a tenant in order of arrival. Remembers lifts.

    w_in, w_out: what a prompt and an output token count. max_wait_s: as in `Ranked`, whoever waited longer goes first;
    finite, it bounds the wait and gives up the guarantee. One object serves one queue; `fresh()` has seen nothing.
    Raises PolicyError outside w_in >= 0, w_out >= 0, max_wait_s >= 0, and when requests have tenants but the state
    does not say what these were served.
    """

    name: str = "vtc"
    w_in: float = 1.0
    w_out: float = 2.0
    max_wait_s: float = inf
    _lifts: dict[int, float] = field(default_factory=dict, repr=False, compare=False)
    _floor: float = field(default=0.0, repr=False, compare=False)
    _before: _Decision | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("w_in", "w_out", "max_wait_s"):
            if not getattr(self, name) >= 0:
                raise PolicyError(f"policy {self.name}: {name} is {getattr(self, name)}; expected a number >= 0")

    def fresh(self) -> "VirtualTokenCounter":
        """The same policy, with nothing seen."""
        return replace(self, _lifts={}, _floor=0.0, _before=None)

    def order(self, waiting: Requests, running: Requests, state: WorkerState) -> IntArray:
        """Indices into `waiting`, best first. Requests without tenants are served in order of arrival."""
        if waiting.tenant is None or len(waiting) == 0:
            return np.arange(len(waiting))
        if state.served is None:
            raise PolicyError(f"policy {self.name}: requests have tenants, but state.served is None; expected a Served")
        start = self._starts(waiting, waiting.tenant, state.served)
        late = state.now_s - waiting.arrival_s > self.max_wait_s
        # among equals, and among the late, in order of arrival
        return np.lexsort((np.where(late, -inf, start), ~late))

    def _starts(self, waiting: Requests, tenant: IntArray, served: Served) -> FloatArray:
        """The counter of each request's tenant when its turn comes, those of its tenant before it admitted."""
        codes, of_request = np.unique(tenant, return_inverse=True)
        prompts, outputs = _of(codes, served)
        returning = waiting.generated_tokens > 0  # preempted: their prompts were counted when they were first admitted
        self._raise_floor(codes[np.unique(of_request[returning])], served)
        counter = self._lifted(codes, self.w_in * prompts + self.w_out * outputs)
        prompt = np.where(returning, 0, waiting.prompt_tokens)
        by_tenant = np.argsort(of_request, kind="stable")
        total = np.cumsum(prompt[by_tenant]) - prompt[by_tenant]
        first = np.searchsorted(of_request[by_tenant], np.arange(len(codes)))
        start = np.empty(len(waiting))
        start[by_tenant] = counter[of_request[by_tenant]] + self.w_in * (total - total[first][of_request[by_tenant]])
        asked = np.bincount(of_request, prompt, len(codes)).astype(np.int64)
        again = np.bincount(of_request, returning, len(codes)).astype(np.int64)
        self._before = _Decision(codes, counter, prompts, asked, again, float(start.max()))
        return start

    def _lifted(self, codes: IntArray, counted: FloatArray) -> FloatArray:
        """The counters of these tenants, none below the floor."""
        lift = np.array([self._lifts.get(code, 0.0) for code in codes.tolist()])
        counter = np.maximum(counted + lift, self._floor)
        self._lifts.update(zip(codes.tolist(), (counter - counted).tolist(), strict=True))
        return counter

    def _raise_floor(self, returning: IntArray, served: Served) -> None:
        """Take in what was admitted since the last decision; returning: tenants with a preempted request waiting."""
        before = self._before
        if before is None:
            return
        admitted = _of(before.tenant, served)[0] - before.served_prompt
        left = (admitted < before.waiting_prompt) | ((before.returning > 0) & np.isin(before.tenant, returning))
        after = before.counter + self.w_in * admitted
        self._floor = max(self._floor, float(after[left].min()) if left.any() else before.last)


def _of(codes: IntArray, served: Served) -> tuple[IntArray, IntArray]:
    """Prompt and output tokens served of each of these tenants; 0 of those not listed."""
    if len(served.tenant) == 0:
        return np.zeros(len(codes), np.int64), np.zeros(len(codes), np.int64)
    place = np.minimum(np.searchsorted(served.tenant, codes), len(served.tenant) - 1)
    known = served.tenant[place] == codes
    return np.where(known, served.prompt_tokens[place], 0), np.where(known, served.output_tokens[place], 0)


def vtc(w_in: float = 1.0, w_out: float = 2.0, max_wait_s: float = inf) -> VirtualTokenCounter:
    """Fair between tenants: least served first, counting an output token as w_out and a prompt token as w_in."""
    return VirtualTokenCounter("vtc", w_in, w_out, max_wait_s)
