"""Step time from the data sheet and the shape of the model."""

from dataclasses import dataclass

from shadowprice.fleet.gpus import Gpu
from shadowprice.fleet.models import WEIGHT_BITS, Model
from shadowprice.fleet.step_time import StepTime


@dataclass(frozen=True)
class Efficiency:
    """What part of a peak rate an engine reaches; the defaults are calibrated on measured kernels (docs/fleet.md).

    weights: of the memory bandwidth, while weights are read. kv: of the memory bandwidth, while the cache is read.
    decode: of the tensor peak, for the products of decoding sequences (part of it hides behind the reading of weights).
    prefill: of the tensor peak, for prompts.
    """

    weights: float = 0.66
    kv: float = 0.86
    decode: float = 1.0
    prefill: float = 0.65


def roofline_step_time(
    gpu: Gpu,
    model: Model,
    tensor_parallel_size: int = 1,
    kv_cache_dtype: str = "bf16",
    max_num_seqs: int = 256,
    efficiency: Efficiency = Efficiency(),
) -> StepTime:
    """The coefficients of the standard step-time model by roofline arithmetic; ours.

    c: read every weight that each step uses. a: the products of one more sequence, and with experts the expected
    share of expert weights that it makes the step read. b: read one token's KV. e: the products of one prompt token.
    """
    bandwidth = gpu.hbm_bandwidth_bytes_per_s
    flops = gpu.flops_per_s(WEIGHT_BITS[model.dtype]) * tensor_parallel_size
    always, routed = _weight_bytes_read(model)
    # Of E experts, k for each of B tokens: E (1 - (1 - k/E)^B) are expected to be read. The chord from an
    # empty step to a full one keeps the model linear and is exact at its ends.
    share = 1 - (1 - model.num_experts_per_tok / model.num_experts) ** max_num_seqs if model.num_experts else 0.0
    read_s = 1 / (bandwidth * efficiency.weights * tensor_parallel_size)
    return StepTime(
        fixed_s=always * read_s,
        per_sequence_s=model.flops_per_token() / (flops * efficiency.decode) + routed * share / max_num_seqs * read_s,
        per_kv_token_s=model.kv_bytes_per_token_per_gpu(kv_cache_dtype, tensor_parallel_size)
        / (bandwidth * efficiency.kv),
        per_prefill_token_s=model.flops_per_token(logits=False) / (flops * efficiency.prefill),
    )


def _weight_bytes_read(model: Model) -> tuple[float, float]:
    """Bytes of weights that every step reads, and of all routed experts."""
    bits = WEIGHT_BITS[model.dtype]
    layer_bits = max(bits, 16.0) if model.dtype == "mxfp4" else bits
    layers = model.always_active_parameters - model.embedding_parameters
    routed = model.num_moe_layers * model.num_experts * model.expert_parameters
    return (layers * layer_bits + model.embedding_parameters * 16) / 8, routed * bits / 8
