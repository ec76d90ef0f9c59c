"""What follows from a fleet's GPU and model: the KV tokens that fit, and step times by source."""

from shadowprice.errors import FleetError
from shadowprice.fleet.fleet import Fleet
from shadowprice.fleet.gpus import GIB, Gpu
from shadowprice.fleet.measured import measured_step_time
from shadowprice.fleet.memory import Memory, memory_of
from shadowprice.fleet.models import Model
from shadowprice.fleet.roofline import roofline_step_time
from shadowprice.fleet.step_time import StepTime
from shadowprice.fleet.token_curve import TokenCurve, kept_curve, read_curve


def gpu_and_model(fleet: Fleet, wanted: str) -> tuple[Gpu, Model]:
    """Both, or a FleetError that says what they are needed for."""
    if fleet.gpu is None or fleet.model is None:
        raise FleetError(f"{wanted} is missing; give it, or give both [gpu] and [model] from which it follows")
    return fleet.gpu, fleet.model


def fleet_memory(fleet: Fleet, context_tokens: int | None = None) -> Memory:
    """How the memory of one GPU of the fleet is divided."""
    gpu, model = gpu_and_model(fleet, "worker.kv_tokens")
    return memory_of(
        gpu,
        model,
        fleet.tensor_parallel_size,
        fleet.gpu_memory_utilization,
        fleet.kv_cache_dtype,
        fleet.worker.max_num_batched_tokens,
        fleet.worker.max_num_seqs,
        context_tokens,
    )


def kv_tokens_that_fit(fleet: Fleet, context_tokens: int | None = None) -> int:
    """KV tokens of one worker, in whole blocks. Raises FleetError where not one block fits beside the weights."""
    memory = fleet_memory(fleet, context_tokens)
    tokens = memory.kv_tokens // fleet.worker.block_size * fleet.worker.block_size
    if tokens == 0:
        gpu, model = gpu_and_model(fleet, "worker.kv_tokens")
        raise FleetError(
            f"{model.name} in {model.dtype} does not fit on {fleet.tensor_parallel_size} x {gpu.name}: per GPU "
            f"{memory.weights / GIB:.1f} GiB of weights and {memory.reserve / GIB:.1f} GiB of reserve leave no room "
            f"for KV in {memory.share / GIB:.1f} GiB; a larger tensor_parallel_size or a smaller dtype helps"
        )
    return tokens


def kept_by(fleet: Fleet) -> TokenCurve | None:
    """What the model's layers keep of a sequence, in KV tokens of this fleet's workers; None: its tokens."""
    return None if fleet.model is None else kept_curve(fleet.model, *_cache(fleet))


def read_by(fleet: Fleet) -> TokenCurve | None:
    """What a decode step reads of a sequence, in KV tokens of this fleet's workers; None: its tokens."""
    return None if fleet.model is None else read_curve(fleet.model, *_cache(fleet))


def _cache(fleet: Fleet) -> tuple[str, int]:
    return fleet.kv_cache_dtype, fleet.tensor_parallel_size


def step_time_from(source: str, fleet: Fleet, backend: str = "vllm") -> tuple[StepTime, str]:
    """Step time of a fleet by "roofline" or "measured" (kernels of that backend), and a note that says so."""
    gpu, model = gpu_and_model(fleet, "step_time.fixed_s")
    gpus, seqs = fleet.tensor_parallel_size, fleet.worker.max_num_seqs
    what = f"{gpus} x {gpu.name}, {model.name} in {model.dtype}"
    if source == "roofline":
        fit = roofline_step_time(gpu, model, gpus, fleet.kv_cache_dtype, seqs, read=fleet.worker.read)
        return fit.step_time, f"roofline of {what}"
    fit, database = measured_step_time(gpu, model, gpus, fleet.kv_cache_dtype, seqs, backend)
    errors = f"mean error {100 * fit.decode_error:.1f} % decoding, {100 * fit.prefill_error:.1f} % with prefill"
    return fit.step_time, f"measured kernels ({database}) of {what}; {errors}"


STEP_TIME_SOURCES = ("given", "roofline", "measured")
