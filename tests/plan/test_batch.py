"""A batch is planned by its makespan: above the bound, within the time that is asked, and never by a latency target."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from shadowprice.audit import audit
from shadowprice.cli import app
from shadowprice.errors import InfeasibleError, TraceError
from shadowprice.fleet import read_fleet
from shadowprice.plan import plan, plan_batch
from shadowprice.workload import Trace, write_trace

FLEET = read_fleet("llama-3.1-8b-h100")


def batch(requests: int = 300, seed: int = 0) -> Trace:
    rng = np.random.default_rng(seed)
    return Trace(np.zeros(requests), rng.integers(100, 1500, requests), rng.integers(10, 200, requests), name="nightly")


def test_more_workers_are_done_sooner_and_never_before_the_bound() -> None:
    found = plan_batch(batch(), FLEET)
    assert [at.workers for at in found.at] == [1, 2, 4, 8, 16, 32, 64]
    assert all(at.makespan_s >= at.bound_s > 0 for at in found.at)
    done_s = [at.makespan_s for at in found.at]
    assert done_s == sorted(done_s, reverse=True)
    assert found.at[0].makespan_s < 1.3 * found.at[0].bound_s  # the bound says something


def test_the_fewest_workers_for_a_time_keep_it_and_one_fewer_does_not() -> None:
    asked_s = 4.0
    found = plan_batch(batch(), FLEET, asked_s)
    at = {one.workers: one for one in found.at}
    assert found.workers is not None and found.at_least is not None and found.answered
    assert at[found.workers].makespan_s <= asked_s
    if found.workers > 1:
        assert at[found.workers - 1].makespan_s > asked_s
    assert at[found.workers].bound_s <= asked_s and found.at_least <= found.workers
    assert f"{found.workers} workers are done within 4.00 s" in str(found)


def test_a_time_that_the_longest_request_alone_exceeds_is_impossible() -> None:
    found = plan_batch(batch(), FLEET, 0.01)
    assert not found.answered and found.workers is None
    assert "no number of workers can be done within 10.0 ms" in str(found)


def test_throughput_is_the_batch_over_its_makespan() -> None:
    document = plan_batch(batch(), FLEET).to_json()
    first = document["at"][0]
    assert first["requests_per_s"] == pytest.approx(300 / first["makespan_s"])
    assert first["output_tokens_per_s"] == pytest.approx(document["output_tokens"] / first["makespan_s"])


def test_what_is_no_batch_and_what_fits_no_worker_are_refused() -> None:
    over_time = Trace(np.arange(3.0), np.full(3, 9), np.full(3, 9), name="online")
    with pytest.raises(TraceError, match="online: 3 requests; expected some that all arrive at one moment"):
        plan_batch(over_time, FLEET)
    with pytest.raises(TraceError, match=r"have no rate; expected arrivals over some time \(of a batch, plan_batch"):
        plan(batch(), FLEET)
    with pytest.raises(TraceError, match="the time to keep is -1 s"):
        plan_batch(batch(), FLEET, -1.0)
    with pytest.raises(InfeasibleError):
        plan_batch(Trace(np.zeros(2), np.full(2, 10**6), np.ones(2)), FLEET)


def test_the_audit_of_a_batch_certifies_its_makespan() -> None:
    found = audit(batch(), FLEET)
    (makespan,) = (finding for finding in found.findings if finding.decision == "makespan")
    assert all(certificate.gap is not None and certificate.gap >= 0 for certificate in makespan.certificates)
    assert "decision: makespan; value: time until the whole batch is done in s" in str(found)
    online = audit(Trace(np.arange(40.0), np.full(40, 9), np.full(40, 9)), FLEET)
    assert "makespan" not in {finding.decision for finding in online.findings}


def test_the_command_line_plans_batches(tmp_path: Path) -> None:
    path = tmp_path / "nightly.csv"
    write_trace(batch(), path)
    done = CliRunner().invoke(app, ["plan", str(path), "--makespan", "4", "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["workers"] >= json.loads(done.stdout)["workers_at_least"]
    assert CliRunner().invoke(app, ["plan", str(path), "--makespan", "0.01"]).exit_code == 1
    wrong = CliRunner().invoke(app, ["plan", str(path), "--ttft-p99", "1"])
    assert "a batch is planned by --makespan" in str(wrong.exception)
