"""The Virtual Token Counter written for reading: dictionaries, and one admission after the other."""

from dataclasses import dataclass, field

from shadowprice.scheduling import Requests, WorkerState


@dataclass
class Twin:
    """As `VirtualTokenCounter` without a bound on waiting."""

    w_in: float
    w_out: float
    lift: dict[int, float] = field(default_factory=dict)
    floor: float = 0.0
    before: dict[int, tuple[float, int, int, bool]] = field(default_factory=dict)
    last: float = 0.0

    def order(self, waiting: Requests, running: Requests, state: WorkerState) -> list[int]:
        served = state.served
        prompts = dict(zip(served.tenant.tolist(), served.prompt_tokens.tolist(), strict=True))
        outputs = dict(zip(served.tenant.tolist(), served.output_tokens.tolist(), strict=True))
        queues: dict[int, list[int]] = {}
        for i, tenant in enumerate(waiting.tenant.tolist()):
            queues.setdefault(tenant, []).append(i)
        again = {t: any(waiting.generated_tokens[i] > 0 for i in queue) for t, queue in queues.items()}

        still = []
        for t, (counter, served_then, waiting_then, again_then) in self.before.items():
            admitted = prompts[t] - served_then
            if admitted < waiting_then or (again_then and again.get(t, False)):
                still.append(counter + self.w_in * admitted)
        if self.before:
            self.floor = max(self.floor, min(still) if still else self.last)

        counters = {}
        for t in queues:
            counted = self.w_in * prompts[t] + self.w_out * outputs[t]
            counters[t] = max(counted + self.lift.get(t, 0.0), self.floor)
            self.lift[t] = counters[t] - counted
        cost = [0 if made > 0 else s for made, s in zip(waiting.generated_tokens, waiting.prompt_tokens, strict=True)]
        self.before = {
            t: (counters[t], prompts[t], int(sum(cost[i] for i in queue)), again[t]) for t, queue in queues.items()
        }

        order: list[int] = []
        total = dict.fromkeys(queues, 0)
        while queues:
            t = min(queues, key=lambda t: (counters[t] + self.w_in * total[t], queues[t][0]))
            self.last = counters[t] + self.w_in * total[t]
            i = queues[t].pop(0)
            order.append(i)
            total[t] += int(cost[i])
            if not queues[t]:
                del queues[t]
        return order
