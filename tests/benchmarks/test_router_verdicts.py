"""What the router benchmarks conclude from what they measured."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import router_cost
import router_faults
import router_quality
import router_soak
from router import contestants
from router.fault_cases import CASES
from router.programs import BenchError, Row, compiler

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
GOOD: dict[str, Row] = {
    "killed_plain": {"sent": 9, "failed": {}, "recovery_s": 1.2},
    "killed_streams": {"sent": 9, "failed": {"cut": 3, "error_event": 1}},
    "hung": {"sent": 9, "answered": 9, "stuck": 0, "failed": {}, "longest_s": 4.0},
    "frozen": {"sent": 9, "answered": 7, "stuck": 0, "failed": {"cut": 2}, "longest_s": 4.0},
    "failing_503": {"sent": 9, "failed": {}, "tries": 1, "share": 0.1},
    "failing_500": {"sent": 9, "failed": {"status 500": 1}, "tries": 1, "share": 0.1},
    "failing_429": {"sent": 9, "failed": {}, "tries": 1, "share": 0.1},
    "slow": {"sent": 9, "failed": {}, "share": 0.1, "ttft_p50_s": 0.01, "ttft_p99_s": 1.0},
    "abandoned": {"abandoned": 8, "aborted": 8},
    "terminated": {"finished": 8, "failed": {}, "exit_s": 1.0, "exit_code": 0},
    "limited": {"sent": 9, "answered": 7, "failed": {"status 429": 2}, "peak": 8},
}


def faults(router: str, **changed: Row) -> list[Row]:
    return [{"fault": fault, "router": router, **seen, **changed.get(fault, {})} for fault, seen in GOOD.items()]


def test_a_router_that_does_well_breaks_no_promise_and_all_faults_have_one() -> None:
    held = router_faults.targets(faults("ours bf_io"))
    assert all(promise.held for promise in held)
    assert set(GOOD) == set(CASES) == set(router_faults.CHECKS)
    assert len(held) == sum(len(promises) for promises in router_faults.CHECKS.values())


@pytest.mark.parametrize(
    ("fault", "seen", "promise"),
    [
        ("killed_plain", {"failed": {"status 502": 1}}, "loses no plain request when a worker is killed"),
        ("killed_plain", {"recovery_s": 5.1}, "uses a worker again within 5 s"),
        ("killed_plain", {"recovery_s": None}, "uses a worker again within 5 s"),
        ("killed_streams", {"failed": {"short_clean": 1}}, "ends a cut stream as an error"),
        ("killed_streams", {"failed": {"error_then_done": 1}}, "ends a cut stream as an error"),
        ("hung", {"stuck": 1}, "leaves no client stuck"),
        ("frozen", {"longest_s": 9.0}, "ends what a stopped worker had"),
        ("failing_500", {"share": 0.86}, "sends a worker that answers 500 no more than its even share"),
        ("abandoned", {"aborted": 7}, "stops the generation of a client that hangs up"),
        ("abandoned", {"abandoned": 0, "aborted": 0}, "stops the generation of a client that hangs up"),
        ("terminated", {"exit_s": None}, "finishes its streams on SIGTERM"),
        ("limited", {"peak": 64}, "keeps its limit"),
        ("limited", {"failed": {"status 408": 1}}, "refuses with 429 or 503"),
        ("slow", {"error": "did not start"}, "loses no stream to a worker that is slow"),
    ],
)
def test_a_broken_promise_is_seen_in_ours_and_in_nobody_else(fault: str, seen: Row, promise: str) -> None:
    rows = faults("ours bf_io", **{fault: seen})
    broken = [promise.what for promise in router_faults.targets(rows) if not promise.held]
    assert any(promise in text for text in broken)
    assert not router_faults.targets(faults("smg round_robin", **{fault: seen}))
    assert all(router_faults.in_words(row) for row in rows)


def test_costs_are_compared_within_a_round() -> None:
    def row(name: str, small: list[float], latency: list[float]) -> Row:
        return {"router": name, "noisy": False, "cost": {"small": small, "latency": latency}, "resident_bytes": 1}

    rows = [
        row(router_cost.OURS, [10, 40, 30], [0.1, 0.2, 0.4]),
        row(router_cost.REFERENCE, [20, 100, 20], [0.1, 0.1, 0.1]),
    ]
    router_cost.add_ratios(rows)
    assert rows[0]["ratio"] == {"small": 0.5}
    assert [promise.held for promise in router_cost.targets(rows)] == [True, True]
    rows[0]["cost"]["latency"] = [0.3, 0.3, 0.3]
    assert [promise.held for promise in router_cost.targets(rows)] == [True, False]


def test_quality_is_held_against_the_best_peer() -> None:
    def row(regime: str, router: str, idle: float, p99_s: float) -> Row:
        return {"regime": regime, "router": router, "idle_share": idle, "e2e_p99_s": p99_s}

    peers = [row("slots", "vllm-router round_robin", 0.09, 8), row("slots", "sglang-router cache_aware", 0.12, 7)]
    good = router_quality.targets([*peers, row("slots", "ours bf_io", 0.029, 7)])
    bad = router_quality.targets([*peers, row("slots", "ours bf_io", 0.031, 7.5)])
    assert [promise.held for promise in good] == [True, True]
    assert [promise.held for promise in bad] == [False, False]
    assert not router_quality.targets(peers)


def test_a_soak_accounts_for_every_request() -> None:
    ends = Counter(
        {"sent": 20, "complete": 10, "cut": 2, "error_event": 1, "no_answer": 1, "status 429": 3, "status 502": 1}
    )
    ends += Counter({"error_then_done": 1, "timed_out": 1})
    stream = router_soak.account("long streams", ends)
    assert (stream["refused"], stream["cut"], stream["lost"]) == (3, 4, 3)
    assert stream["lost_how"] == {"error_then_done": 1, "timed_out": 1, "status 502": 1}
    plain = router_soak.account("plain", Counter({"sent": 5, "complete": 3, "cut": 1, "no_answer": 1}))
    assert (plain["lost"], plain["lost_how"]) == (2, {"cut": 1, "no_answer": 1})


def test_memory_that_grows_and_a_router_that_ends_are_seen() -> None:
    early, late = router_soak.growth([9] * 4 + [1] * 4 + [5] * 4 + [3] * 4)
    assert (early, late) == (1, 3)
    flat: Row = {"accounts": [{"lost": 0}], "early_bytes": 100 << 20, "late_bytes": 110 << 20, "exit_code": None}
    assert all(router_soak.verdict(flat).values())
    assert not all(router_soak.verdict(flat | {"late_bytes": 130 << 20}).values())
    assert not all(router_soak.verdict(flat | {"exit_code": 0}).values())
    assert not all(router_soak.verdict(flat | {"accounts": [{"lost": 1}]}).values())


def test_contestants_are_named_by_router_and_policy() -> None:
    line = " ".join(contestants.command("vllm-router power_of_two", ["http://a:1", "http://b:2"], 5, 6, queue_size=4))
    flags = "--policy power_of_two --host 127.0.0.1 --port 5 --prometheus-port 6 --queue-size 4"
    assert f"vllm_router.launch_router --worker-urls http://a:1 http://b:2 {flags}" in line
    for name, alone in (("ours bf_io", True), ("ours bf_io+shadow", False)):
        words = contestants.command(name, ["http://a:1"], 5, 6)
        assert words[words.index("--policy") + 1] == "bf_io"
        assert ("--no-shadow" in words) == alone
    for wrong in ("nginx round_robin", "ours", ""):
        with pytest.raises(BenchError, match="expected a router"):
            contestants.split(wrong)


@pytest.mark.parametrize("script", ["router_cost.py", "router_quality.py", "router_faults.py"])
def test_an_unknown_part_is_refused_by_name(script: str) -> None:
    done = subprocess.run([sys.executable, BENCHMARKS / script, "pears"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "pears" in done.stderr


@pytest.mark.skipif(compiler() is None, reason="needs a C compiler")
def test_our_router_is_driven_and_keeps_what_is_checked() -> None:
    command = [sys.executable, BENCHMARKS / "router_faults.py", "abandoned", "limited", "--routers", "ours bf_io"]
    done = subprocess.run([*command, "--check", "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert [row["fault"] for row in result["rows"]] == ["abandoned", "limited"]
    assert len(result["targets"]) == 3
    assert result["rows"][0]["abandoned"] == 8
