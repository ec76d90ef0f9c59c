"""The round model: compiled policies equal their plain-Python twins, and nothing breaks the memory."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.errors import PolicyError
from shadowprice.scheduling.policies import (
    POLICIES,
    fcfs,
    mc_benchmark,
    mc_sf,
    protect_clearing,
    protect_greedy,
    shortest_output,
)
from shadowprice.scheduling.problem import RoundInstance
from shadowprice.scheduling.ranked import Gate, Levels, Ranked, Victim
from shadowprice.scheduling.surface import Requests, WorkerState
from shadowprice.simulate.rounds import RoundResult, simulate


def instance(rng: np.random.Generator, most: int = 30) -> RoundInstance:
    memory, n = int(rng.integers(6, 60)), int(rng.integers(1, most))
    prompt = rng.integers(1, min(6, memory - 1) + 1, n)
    output = rng.integers(1, memory - prompt + 1)
    arrival = rng.integers(0, 3 * n, n) if rng.random() < 0.7 else np.zeros(n, dtype=np.int64)
    return RoundInstance(arrival, prompt, output, memory)


def held_by_successful_runs(case: RoundInstance, result: RoundResult) -> int:
    case.require_feasible(result.start)
    return int(case.usage(result.start).max())


@dataclass
class LookAhead:
    """MC-SF and MC-Benchmark once more, straight from the definition: test memory at every completion time."""

    by_output: bool

    def order(self, waiting: Requests, running: Requests, state: WorkerState) -> IntArray:
        keys = waiting.predicted_output if self.by_output else waiting.arrival_s
        active = [
            (s + g, o - g)
            for s, g, o in zip(running.prompt_tokens, running.generated_tokens, running.predicted_output, strict=True)
        ]
        taken = []
        for i in np.argsort(keys, kind="stable"):
            active.append((waiting.prompt_tokens[i], waiting.predicted_output[i]))
            completions = {left for _, left in active}
            if any(sum(held + d for held, left in active if left >= d) > state.worker.kv_tokens for d in completions):
                break
            taken.append(i)
        return np.array(taken, dtype=np.int64)


@dataclass
class EngineView:
    """A built-in policy run through its own `order`.

    In the engine a request computes the token before the one it makes, so that it holds prompt + j - 1 tokens at its
    j-th; in the round model it holds s + j. So the round model's request is the engine's with a prompt of s + 1.
    """

    policy: Ranked

    def order(self, waiting: Requests, running: Requests, state: WorkerState) -> IntArray:
        longer = [replace(side, prompt_tokens=side.prompt_tokens + 1) for side in (waiting, running)]
        return self.policy.order(longer[0], longer[1], state)


def what_is_left(requests: Requests, worker: object) -> FloatArray:
    """Less with each token made, and less again while it runs: moves across what others have left."""
    return requests.predicted_output - 2.0 * requests.generated_tokens - (requests.computed_tokens > 0)


def twin(case: RoundInstance, policy: Ranked, rng: np.random.Generator) -> list[int]:
    """`simulate` for policies that may overflow, written for reading: start of the run that finished, per request."""
    n, memory = len(case), case.memory_tokens
    key = policy.key(
        Requests(
            case.arrival.astype(float),
            case.prompt_tokens,
            case.output_tokens,
            np.zeros(n, dtype=np.int64),
            np.zeros(n, dtype=np.int64),
            np.zeros(n, dtype=np.int64),
        ),
        None,
    )
    by_key = {i: (key[i], case.arrival[i], i) for i in range(n)}

    def by_key_running(i: int, made: int) -> tuple[float, int, int]:
        one = np.array([i])
        row = Requests(
            case.arrival[one].astype(float),
            case.prompt_tokens[one],
            case.output_tokens[one],
            np.array([made]),
            case.prompt_tokens[one] + made,
            np.zeros(1, dtype=np.int64),
        )
        return (float(policy.keys(row, None)[0]), case.arrival[i], i)

    start: dict[int, int] = {}
    done: dict[int, int] = {}
    running: list[int] = []
    now = 0
    while len(done) < n:
        for i in [i for i in running if start[i] + case.output_tokens[i] == now]:
            running.remove(i)
            done[i] = start[i]
        next_size = {i: case.prompt_tokens[i] + now + 1 - start[i] for i in running}
        overflow = sum(next_size.values()) > memory
        while sum(next_size[i] for i in running) > memory:
            if policy.victim == Victim.CLEAR:
                running = [i for i in running if not rng.random() < policy.beta]
            elif policy.victim == Victim.WORST_KEY:
                running.remove(max(running, key=lambda i: by_key_running(i, now - start[i])))
            else:
                running.pop()
        if not overflow or not running:
            waiting = [i for i in range(n) if i not in done and i not in running and case.arrival[i] <= now]
            late = [i for i in waiting if now - case.arrival[i] > policy.max_wait_s]
            late.sort(key=lambda i: (case.arrival[i], i))
            for i in late + sorted((i for i in waiting if i not in late), key=lambda i: by_key[i]):
                following = sum(case.prompt_tokens[r] + now + 1 - start[r] for r in running) + case.prompt_tokens[i] + 1
                limit = (1 - policy.alpha) * memory if policy.gate == Gate.PROTECT and running else memory
                peaks = sum(case.prompt_tokens[r] + case.output_tokens[r] for r in [*running, i])
                grown = following + policy.headroom * (len(running) + 1)
                if policy.gate == Gate.HEADROOM and running and grown > memory:
                    break
                if following > limit or (policy.gate == Gate.RESERVE_PEAK and peaks > memory):
                    break
                running.append(i)
                start[i] = now
        now += 1
    return [done[i] for i in range(n)]


def test_one_request_holds_s_plus_j_tokens_and_finishes_after_o_rounds() -> None:
    case = RoundInstance(np.array([3]), np.array([2]), np.array([4]), 6)
    result = simulate(case, fcfs())
    assert result.start.tolist() == [3]
    assert result.finish.tolist() == [7]
    assert result.total_latency == 4
    assert case.usage(result.start).tolist() == [0, 0, 0, 0, 3, 4, 5, 6]


@pytest.mark.parametrize("by_output", [True, False])
def test_compiled_look_ahead_equals_the_definition(by_output: bool) -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        case = instance(rng)
        compiled = simulate(case, mc_sf() if by_output else mc_benchmark())
        assert compiled.start.tolist() == simulate(case, LookAhead(by_output)).start.tolist()


@pytest.mark.parametrize("policy", [fcfs(), mc_sf(), mc_benchmark(), mc_sf(max_wait_s=9), shortest_output(4)])
def test_compiled_equals_the_policys_own_order(policy: Ranked) -> None:
    rng = np.random.default_rng(2)
    for _ in range(30):
        case = instance(rng, 20)
        compiled, stepped = simulate(case, policy), simulate(case, EngineView(policy))
        assert compiled.start.tolist() == stepped.start.tolist()
        assert compiled.cleared.tolist() == stepped.cleared.tolist()


@pytest.mark.parametrize("levels", [None, Levels(1), Levels(2, 2.0)], ids=["static", "each token", "doubling"])
@pytest.mark.parametrize("victim", list(Victim))
@pytest.mark.parametrize("gate", [Gate.OPTIMISTIC, Gate.RESERVE_PEAK, Gate.PROTECT, Gate.HEADROOM])
def test_compiled_overflow_equals_its_twin(gate: Gate, victim: Victim, levels: Levels | None) -> None:
    rng = np.random.default_rng(3)
    for round_seed in range(25):
        case = instance(rng, 15)
        key = shortest_output().key if levels is None else what_is_left
        wait = float(rng.choice([5, np.inf]))
        policy = Ranked("tested", key, gate, victim, wait, alpha=0.2, beta=0.4, headroom=3, levels=levels)
        result = simulate(case, policy, np.random.default_rng(round_seed))
        assert result.start.tolist() == twin(case, policy, np.random.default_rng(round_seed))
        assert held_by_successful_runs(case, result) <= case.memory_tokens


def test_every_built_in_policy_finishes_every_request_after_its_arrival() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        case = instance(rng)
        for name, make in POLICIES.items():
            if name == "protect_greedy":
                continue  # may livelock, see below
            result = simulate(case, make(), np.random.default_rng(0))
            case.require_feasible(result.start)
            assert np.all(result.latency >= case.output_tokens), name


def test_clearing_everyone_can_livelock_and_says_so() -> None:
    """Two requests that fit together at the start but not at the end, cleared together for ever."""
    case = RoundInstance(np.array([0, 0]), np.array([1, 1]), np.array([8, 8]), 10)
    with pytest.raises(PolicyError, match=r"protect_greedy: 2 of 2 requests had not finished by round 100160"):
        simulate(case, protect_greedy(alpha=0.1))
    cleared = simulate(case, protect_clearing(alpha=0.1, beta=0.5), np.random.default_rng(0)).cleared
    assert cleared.sum() > 0


def test_protecting_most_of_the_memory_avoids_the_livelock() -> None:
    case = RoundInstance(np.array([0, 0]), np.array([1, 1]), np.array([8, 8]), 10)
    assert simulate(case, protect_greedy(alpha=0.7)).finish.tolist() == [8, 16]


def test_random_clearing_needs_a_generator_and_repeats_with_its_seed() -> None:
    case = RoundInstance(np.zeros(6, dtype=np.int64), np.full(6, 1), np.full(6, 8), 12)
    with pytest.raises(PolicyError, match=r"pass rng="):
        simulate(case, protect_clearing())
    one, two = (simulate(case, protect_clearing(), np.random.default_rng(5)) for _ in range(2))
    assert one.start.tolist() == two.start.tolist()


def test_a_bound_on_waiting_is_kept_up_to_the_service_of_the_older() -> None:
    """Without aging the long request waits for every short one; with it, for nobody that came after its limit."""
    arrival = np.concatenate([[0], np.repeat(np.arange(100), 2)]).astype(np.int64)
    output = np.concatenate([[9], np.full(200, 4)]).astype(np.int64)
    case = RoundInstance(arrival, np.ones(201, dtype=np.int64), output, 10)
    assert simulate(case, mc_sf()).start[0] > 100
    assert simulate(case, mc_sf(max_wait_s=10)).start[0] <= 10 + 1 + 9


def test_an_empty_instance_is_served() -> None:
    nothing = np.empty(0, dtype=np.int64)
    assert simulate(RoundInstance(nothing, nothing, nothing, 5), fcfs()).total_latency == 0


class Never:
    def order(self, waiting: Requests, running: Requests, state: WorkerState) -> IntArray:
        return np.empty(0, dtype=np.int64)


class Wrong:
    def __init__(self, answer: list[float]) -> None:
        self.answer = answer

    def order(self, waiting: Requests, running: Requests, state: WorkerState) -> IntArray:
        return np.array(self.answer)  # type: ignore[return-value]


@pytest.mark.parametrize("answer", [[0, 0], [5], [-1], [0.5], [[0]]])
def test_an_impossible_decision_names_the_policy_and_the_round(answer: list[float]) -> None:
    case = RoundInstance(np.array([2, 2]), np.array([1, 1]), np.array([3, 3]), 10)
    with pytest.raises(PolicyError, match=r"policy Wrong: round 2: order returned"):
        simulate(case, Wrong(answer))


def test_a_policy_that_never_starts_anyone_is_stopped() -> None:
    case = RoundInstance(np.array([0]), np.array([1]), np.array([3]), 10)
    with pytest.raises(PolicyError, match=r"Never: 1 of 1 requests"):
        simulate(case, Never())
