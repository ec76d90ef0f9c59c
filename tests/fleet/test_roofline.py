"""Roofline step times against fits of measured kernels, and the linear fit itself."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowprice.errors import FleetError
from shadowprice.fleet import GPUS, MODELS, StepTime
from shadowprice.fleet.linear_fit import fit_step_time
from shadowprice.fleet.roofline import roofline_step_time

# Linear fits of the kernel database of aiconfigurator-core 0.12: model, GPU, GPUs per worker; then c [ms], a [us],
# b [ns], e [us].
MEASURED_DENSE = {
    ("llama-3.1-8b", "H100", 1): (6.354, 11.32, 41.11, 17.16),
    ("llama-3.1-8b", "A100-80GB", 1): (11.44, 38.77, 78.87, 53.73),
    ("llama-3.1-70b", "A100-80GB", 4): (27.52, 101.4, 56.84, 149.9),
    ("llama-3.1-70b", "H100", 4): (15.16, 31.94, 27.35, 55.12),
    ("llama-3.1-70b", "H200", 4): (11.38, 37.15, 18.51, 58.5),
    ("llama-3.1-8b", "L40S", 1): (22.22, 36.76, 191.5, 57.19),
    ("llama-3.1-8b", "B200", 1): (3.376, 4.928, 18.01, 9.645),
    ("llama-3.1-8b", "RTX-PRO-6000", 1): (10.89, 15.45, 87.96, 37.79),
    ("qwen3-32b", "H100", 2): (13.60, 24.06, 42.86, 45.72),
    ("llama-3.1-405b", "H200", 8): (30.72, 78.58, 15.71, 150.9),
}
MEASURED_MOE = {
    ("qwen3-30b-a3b", "H100", 1): (6.197, 104.6, 58.2, 19.61),
    ("qwen3-235b-a22b", "H200", 8): (9.537, 99.69, 27.46, 33.64),
    ("gpt-oss-20b", "H100", 1): (3.616, 39.87, 13.0, 13.73),
    ("gpt-oss-120b", "H100", 2): (4.412, 72.46, 16.84, 20.8),
}
BATCHES = (1, 32, 128, 256)


def measured(c: float, a: float, b: float, e: float) -> StepTime:
    return StepTime(c * 1e-3, a * 1e-6, b * 1e-9, e * 1e-6)


@pytest.mark.parametrize(("fleet", "fit"), MEASURED_DENSE.items())
def test_dense_roofline_is_within_fifteen_percent_of_measured_decode_steps(
    fleet: tuple[str, str, int], fit: tuple[float, float, float, float]
) -> None:
    model, gpu, gpus = fleet
    roofline, kernels = roofline_step_time(GPUS[gpu], MODELS[model], gpus).step_time, measured(*fit)
    for batch in BATCHES:
        assert roofline.seconds(batch, batch * 1000, 0) == pytest.approx(
            kernels.seconds(batch, batch * 1000, 0), rel=0.15
        )
    assert roofline.seconds(0, 0, 1000) == pytest.approx(kernels.seconds(0, 0, 1000), rel=0.20)


def test_dense_roofline_is_within_five_percent_of_measured_decode_steps_for_most() -> None:
    errors = []
    for (model, gpu, gpus), fit in MEASURED_DENSE.items():
        roofline, kernels = roofline_step_time(GPUS[gpu], MODELS[model], gpus).step_time, measured(*fit)
        errors += [abs(roofline.seconds(b, b * 1000, 0) / kernels.seconds(b, b * 1000, 0) - 1) for b in BATCHES]
    assert sorted(errors)[len(errors) // 2] < 0.05


@pytest.mark.parametrize(("fleet", "fit"), MEASURED_MOE.items())
def test_moe_roofline_is_within_a_quarter_of_measured_decode_steps(
    fleet: tuple[str, str, int], fit: tuple[float, float, float, float]
) -> None:
    model, gpu, gpus = fleet
    roofline, kernels = roofline_step_time(GPUS[gpu], MODELS[model], gpus).step_time, measured(*fit)
    for batch in BATCHES:
        assert roofline.seconds(batch, batch * 1000, 0) == pytest.approx(
            kernels.seconds(batch, batch * 1000, 0), rel=0.25
        )


def test_roofline_of_a_dense_model_is_linear_and_that_of_experts_is_not() -> None:
    assert roofline_step_time(GPUS["H100"], MODELS["llama-3.1-8b"]).decode_error < 1e-9
    assert roofline_step_time(GPUS["H100"], MODELS["qwen3-30b-a3b"]).decode_error > 0.1


def test_a_step_is_never_faster_than_reading_the_weights_at_full_bandwidth() -> None:
    for gpu in GPUS.values():
        for model in (m for m in MODELS.values() if m.num_experts == 0):
            read_s = (model.weight_bytes() - 2 * model.embedding_parameters) / gpu.hbm_bandwidth_bytes_per_s
            assert roofline_step_time(gpu, model).step_time.fixed_s > read_s


positive = st.floats(1e-9, 1e-2)


@settings(max_examples=50, deadline=None)
@given(c=positive, a=positive, b=st.floats(1e-10, 1e-6), e=positive, seqs=st.integers(2, 2000))
def test_fit_recovers_a_linear_step_time(c: float, a: float, b: float, e: float, seqs: int) -> None:
    truth = StepTime(c, a, b, e)
    fit = fit_step_time(lambda n, context, prompt: truth.seconds(n, n * context, prompt), seqs)
    assert fit.decode_error < 1e-6 and fit.prefill_error < 1e-6


@pytest.mark.parametrize("latency_s", [0.0, float("nan"), float("inf")])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_impossible_latencies_are_refused(latency_s: float) -> None:
    with pytest.raises(FleetError):
        fit_step_time(lambda n, context, prompt: latency_s, 8)
