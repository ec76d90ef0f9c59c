"""A routing policy from another package: installed, it runs compiled in the audit, the benchmark and the router."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shadowprice import plugins
from shadowprice.arrays import IntArray
from shadowprice.errors import PolicyError
from shadowprice.routing import POLICIES, Pending, Workers, make
from shadowprice.simulate.barrier import Ranks, simulate_barrier
from shadowprice.workload import Trace
from tests.outsider import install
from tests.router.live import ask, post, routed, run
from tests.router.scripted_worker import answers, completion, scripted

SOURCE = '''
from shadowprice.routing.compiled import Compiled, Needs, njit


@njit(cache=True)
def rule(numbers, question, memory, i):
    """As many to each worker as numbers[0] says, then to the next."""
    sent = int(memory.own[0])
    memory.own[0] += 1
    return (sent // int(numbers[0])) % len(question.workers)


def in_pairs(each: int = 2) -> Compiled:
    return Compiled("in_pairs", rule, numbers=(each,), needs=Needs(own=1), words="two by two")
'''


FLEET = """
workers = 2

[step_time]
fixed_s = 0.005
per_sequence_s = 0.0
per_kv_token_s = 4e-8
per_prefill_token_s = 2e-5

[worker]
kv_tokens = 100000
"""


class InPairs:
    """The same in plain Python."""

    def __init__(self) -> None:
        self.sent = 0

    def assign(self, pending: Pending, workers: Workers, now_s: float) -> IntArray:
        first, self.sent = self.sent, self.sent + len(pending)
        return np.arange(first, self.sent) // 2 % len(workers)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("outsider"), "shadowprice.routing", "in_pairs", SOURCE)


@pytest.fixture
def here(target: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Installed for this process too."""
    monkeypatch.syspath_prepend(target)
    vars(POLICIES).pop("installed", None)
    yield
    vars(POLICIES).pop("installed", None)
    sys.modules.pop("outsider", None)


@pytest.fixture
def trace(tmp_path: Path) -> str:
    path = tmp_path / "requests.csv"
    rows = [f"{0.01 * i},{50 + 37 * i % 900},{1 + 13 * i % 90}" for i in range(300)]
    path.write_text("\n".join(["arrival_s,prompt_tokens,output_tokens", *rows]))
    return str(path)


def shadowprice(target: Path, *arguments: str) -> Any:
    path = os.pathsep.join([str(target), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "shadowprice.cli", *arguments, "--json"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def test_the_audit_lists_it_beside_the_built_in_ones(target: Path, trace: str, tmp_path: Path) -> None:
    fleet = tmp_path / "two.toml"
    fleet.write_text(FLEET)
    told = shadowprice(target, "audit", trace, "--fleet", str(fleet), "--load", "0.8")
    rows = [c["policy"] for c in told["certificates"] if c["decision"] == "routing"]
    assert rows == [*(name for name in POLICIES if make(name).audited), "in_pairs"]


def test_the_benchmark_runs_it(target: Path, trace: str) -> None:
    command = ("bench", "routing", trace, "--workers", "2", "--slots", "2")
    rows = shadowprice(target, *command, "--policies", "in-pairs,round_robin")["rows"]
    assert {row["policy"] for row in rows} == {"in_pairs", "round_robin"}
    assert all(row["idle_share"] > 0 for row in rows)


@pytest.mark.usefixtures("here")
def test_it_runs_compiled_and_does_what_plain_python_does() -> None:
    rng = np.random.default_rng(0)
    trace = Trace(np.cumsum(rng.exponential(0.02, 200)), rng.integers(1, 900, 200), rng.integers(1, 60, 200))
    ranks = Ranks(workers=3, slots=4)
    compiled, plain = simulate_barrier(trace, make("in_pairs"), ranks), simulate_barrier(trace, InPairs(), ranks)
    assert compiled.finish_s.tobytes() == plain.finish_s.tobytes()
    assert compiled.worker.tolist() == [i // 2 % 3 for i in range(200)]
    alone = simulate_barrier(trace, make("in_pairs", each=1, price=0.3), ranks)
    assert alone.worker.tolist() == [i % 3 for i in range(200)]


@pytest.mark.usefixtures("here")
def test_the_router_routes_by_it() -> None:
    async def work() -> None:
        quick = answers(completion())
        async with scripted(quick) as a, scripted(quick) as b, routed(a, b, policy="in_pairs") as server:
            calls = []
            for _ in range(8):
                before = len(a.calls)
                assert (await ask(server, post(b'{"prompt":"a"}'))).status == 200
                calls.append(len(a.calls) > before)
            assert calls == [True, True, False, False] * 2
            await server.control.set_policy("round_robin")
            await server.control.set_policy("in-pairs")
            assert server.control.snapshot()["policy"] == "in_pairs"

    run(work())


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    """What other packages add, for this test."""
    entries: list[EntryPoint] = []
    monkeypatch.setattr(plugins, "entry_points", lambda group: entries)
    vars(POLICIES).pop("installed", None)
    yield entries
    vars(POLICIES).pop("installed", None)


def in_pairs() -> InPairs:
    return InPairs()


def test_one_in_plain_python_is_named_as_its_entry_point_and_shown_everything(found: list[EntryPoint]) -> None:
    found.append(EntryPoint("pairs", f"{__name__}:in_pairs", POLICIES.group))
    sys.modules.setdefault(__name__, sys.modules[in_pairs.__module__])
    policy = make("pairs", most_passes=3)
    assert policy.name == "pairs" and policy.audited and policy.needs.prefixes and policy.hole_price is None
    trace = Trace(np.zeros(4), np.full(4, 9), np.full(4, 3))
    assert simulate_barrier(trace, policy, Ranks(2, 8)).worker.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("shadowprice.routing:least_kv_tokens", r"'theirs' of package .* cannot be imported"),
        ("shadowprice.routing.policies:least_kv", r"'theirs' calls itself 'least_kv'; expected one name"),
        ("builtins:dict", r"'theirs' is \{\}; expected an object with assign"),
    ],
)
def test_what_is_no_policy_is_named(found: list[EntryPoint], value: str, message: str) -> None:
    found.append(EntryPoint("theirs", value, POLICIES.group))
    with pytest.raises(PolicyError, match=message):
        make("theirs")


def test_a_rule_of_another_signature_is_refused_where_it_is_made_ready() -> None:
    from shadowprice.routing.compiled import Compiled, njit

    @njit()
    def rule(question, memory):
        return 0

    with pytest.raises(PolicyError, match=r"'odd': its rule does not compile.*rule\(numbers, question"):
        Compiled("odd", rule).ready()
