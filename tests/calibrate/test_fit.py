"""A fit finds the worker behind a log, as far as the log shows it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_logs import run_of, write_client_log, write_log

from shadowprice.calibrate import Given, fit, with_unseen_half
from shadowprice.calibrate.replay import latencies, relative, replay
from shadowprice.errors import FleetError, TraceError
from shadowprice.fleet import StepTime, Worker
from shadowprice.scheduling.policies import fcfs
from shadowprice.simulate import simulate
from shadowprice.workload import MeasuredLog, read_measured

TIME = StepTime(8e-3, 3e-5, 6e-8, 3e-5)
ROOMY = Worker(TIME, kv_tokens=400_000)


def log_of(worker: Worker, path: Path, **workload: float) -> MeasuredLog:
    return read_measured(write_log(run_of(worker, **workload), path / "made.jsonl"))


@pytest.mark.parametrize(
    ("worker", "rate_per_s"),
    [
        pytest.param(ROOMY, 8.0, id="roomy"),
        pytest.param(replace(ROOMY, max_num_seqs=24), 16.0, id="slots bind"),
        pytest.param(replace(ROOMY, kv_tokens=20_000, max_num_batched_tokens=2048), 8.0, id="memory binds"),
        pytest.param(
            replace(ROOMY, kv_tokens=20_000, max_num_batched_tokens=1024, async_scheduling=False), 8.0, id="synchronous"
        ),
    ],
)
def test_fit_recovers_the_worker_behind_a_log(worker: Worker, rate_per_s: float, tmp_path: Path) -> None:
    fitted = fit(log_of(worker, tmp_path, rate_per_s=rate_per_s))
    assert abs(fitted.errors["e2e"]["mean"]) < 0.01
    assert abs(fitted.errors["tpot"]["mean"]) < 0.01
    assert abs(fitted.errors["ttft"]["mean"]) < 0.02
    assert max(abs(error) for name in ("e2e", "tpot") for error in fitted.errors[name].values()) < 0.02
    assert not any("cut out of a longer one" in note for note in fitted.notes)
    found = fitted.worker
    assert found.async_scheduling == worker.async_scheduling
    assert found.step_time.fixed_s == pytest.approx(TIME.fixed_s, rel=0.1)
    assert found.step_time.per_prefill_token_s == pytest.approx(TIME.per_prefill_token_s, rel=0.15)
    context = 1000  # what a sequence and its KV cost together is fixed far better than either alone
    assert found.step_time.seconds(20, 20 * context, 0) == pytest.approx(TIME.seconds(20, 20 * context, 0), rel=0.03)
    if worker.kv_tokens < ROOMY.kv_tokens:
        assert fitted.limits["kv_tokens"].how == "inferred"
        assert found.kv_tokens == pytest.approx(worker.kv_tokens, rel=0.01)
        assert found.max_num_batched_tokens == worker.max_num_batched_tokens
    else:
        assert fitted.limits["kv_tokens"].how == "not reached"
    if worker.max_num_seqs < ROOMY.max_num_seqs:
        assert (found.max_num_seqs, fitted.limits["max_num_seqs"].how) == (worker.max_num_seqs, "inferred")
    else:
        assert (found.max_num_seqs, fitted.limits["max_num_seqs"].how) == (256, "not reached")


def test_fit_to_the_first_half_predicts_the_second(tmp_path: Path) -> None:
    log = log_of(replace(ROOMY, max_num_seqs=16), tmp_path, requests=120, rate_per_s=16.0)
    fitted = with_unseen_half(fit(log), log)
    assert fitted.unseen is not None
    assert max(abs(error) for error in fitted.unseen["e2e"].values()) < 0.02


def test_log_cut_out_of_a_longer_one_is_noticed_and_explains_the_rest(tmp_path: Path) -> None:
    whole = log_of(replace(ROOMY, max_num_seqs=48), tmp_path, requests=400, rate_per_s=16.0)
    half = np.arange(200)
    stamps = (whole.queued_s, whole.scheduled_s, whole.first_token_s, whole.last_token_s)
    fitted = fit(MeasuredLog(whole.trace.take(half), *(stamp[half] for stamp in stamps)))
    assert "cut out of a longer one" in fitted.notes[0]
    assert max(abs(error) for error in fitted.errors["e2e"].values()) < 0.02
    rest = relative(*latencies(whole, replay(whole, fitted.worker), np.arange(200, 400)))
    assert max(abs(error) for error in rest["e2e"].values()) < 0.03


def test_given_limits_are_kept(tmp_path: Path) -> None:
    given = Given(max_num_seqs=64, max_num_batched_tokens=3000, kv_tokens=99_968, block_size=32, async_scheduling=True)
    fitted = fit(log_of(ROOMY, tmp_path, requests=60), given)
    assert replace(fitted.worker, step_time=TIME) == Worker(TIME, 64, 3000, 99_968, 32, True)
    assert {limit.how for limit in fitted.limits.values()} == {"given"}


def test_a_wrong_limit_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    fitted = fit(log_of(ROOMY, tmp_path, requests=60), Given(max_num_seqs=1))
    assert any("Do not trust this fit" in note for note in fitted.notes)


def test_fitted_fleet_holds_the_worker(tmp_path: Path) -> None:
    fitted = fit(log_of(ROOMY, tmp_path, requests=40))
    assert fitted.fleet().worker == fitted.worker
    assert "40 measured requests" in fitted.fleet().step_time_note


def test_small_log_is_refused(tmp_path: Path) -> None:
    log = log_of(ROOMY, tmp_path, requests=19)
    with pytest.raises(TraceError, match="19 requests; expected at least 20"):
        fit(log)


def test_log_too_small_for_halves_is_refused(tmp_path: Path) -> None:
    log = log_of(ROOMY, tmp_path, requests=39)
    with pytest.raises(TraceError, match="39 requests; expected at least 40"):
        with_unseen_half(fit(log), log)


def test_log_in_which_nothing_batches_is_refused(tmp_path: Path) -> None:
    log = log_of(ROOMY, tmp_path, requests=30, rate_per_s=0.0005, seed=1)
    with pytest.raises(TraceError, match="no two requests ran at once"):
        fit(log)


def test_log_without_decoding_is_refused(tmp_path: Path) -> None:
    log = log_of(ROOMY, tmp_path, requests=30)
    prefill_only = replace(
        log, trace=replace(log.trace, output_tokens=np.ones(30, np.int64)), last_token_s=log.first_token_s
    )
    with pytest.raises(TraceError, match="expected decoding"):
        fit(prefill_only)


def test_impossible_kv_tokens_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match="kv_tokens is 100, but made has a request of"):
        fit(log_of(ROOMY, tmp_path, requests=30), Given(kv_tokens=100))


def test_costs_that_cannot_be_told_apart_are_said(tmp_path: Path) -> None:
    """Equal requests that arrive in full batches: the steps hardly differ but by prefill."""
    run = run_of(ROOMY, requests=40)
    trace = replace(
        run.trace, prompt_tokens=np.full(40, 500), output_tokens=np.full(40, 2), arrival_s=np.arange(40) // 2 * 1.0
    )
    log = read_measured(write_log(simulate(trace, ROOMY, fcfs()), tmp_path / "made.jsonl"))
    fitted = fit(log)
    assert any("does not fix" in note and "per_kv_token_s" in note for note in fitted.notes)


@pytest.mark.parametrize(
    ("worker", "rate_per_s"),
    [
        pytest.param(ROOMY, 8.0, id="roomy"),
        pytest.param(replace(ROOMY, max_num_seqs=24), 16.0, id="slots bind"),
    ],
)
def test_what_a_client_saw_is_fitted_too(worker: Worker, rate_per_s: float, tmp_path: Path) -> None:
    log = read_measured(write_client_log(run_of(worker, rate_per_s=rate_per_s), tmp_path / "bench.json"))
    assert not log.admissions
    fitted = fit(log)
    assert all(abs(fitted.errors[name]["mean"]) < 0.02 for name in ("ttft", "e2e", "tpot"))
    found = fitted.worker
    assert found.step_time.seconds(20, 20_000, 0) == pytest.approx(TIME.seconds(20, 20_000, 0), rel=0.05)
    assert found.step_time.per_prefill_token_s == pytest.approx(TIME.per_prefill_token_s, rel=0.2)
    if worker.max_num_seqs < ROOMY.max_num_seqs:
        assert (found.max_num_seqs, fitted.limits["max_num_seqs"].how) == (24, "inferred")
    else:
        assert (found.max_num_seqs, fitted.limits["max_num_seqs"].how) == (256, "not reached")
    assert any("client saw" in note for note in fitted.notes)
