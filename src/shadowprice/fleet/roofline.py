"""Step time from the data sheet and the shape of the model."""

from dataclasses import dataclass

from shadowprice.fleet.formats import WEIGHT_BITS
from shadowprice.fleet.gpus import Gpu
from shadowprice.fleet.linear_fit import LinearFit, fit_step_time
from shadowprice.fleet.models import Model
from shadowprice.fleet.token_curve import TokenCurve


@dataclass(frozen=True)
class Efficiency:
    """What part of a peak rate an engine reaches; the defaults are calibrated on measured kernels (docs/fleet.md).

    weights, kv: of the memory bandwidth, while weights and cache are read. products, expert_products: of the tensor
    peak, while the matrices of dense and of mixture-of-experts models are multiplied. visible: share of the decoding
    sequences' products that does not hide behind the reading of weights. layer_s, expert_layer_s: time of a layer,
    without and with experts, that is neither (launches, norms, routing, exchange between GPUs).
    """

    weights: float = 0.80
    kv: float = 0.86
    products: float = 0.70
    expert_products: float = 0.30
    visible: float = 0.57
    layer_s: float = 28e-6
    expert_layer_s: float = 60e-6


def roofline_step_time(
    gpu: Gpu,
    model: Model,
    tensor_parallel_size: int = 1,
    kv_cache_dtype: str = "bf16",
    max_num_seqs: int = 256,
    efficiency: Efficiency = Efficiency(),
    read: TokenCurve | None = None,
) -> LinearFit:
    """The standard step-time model fitted to roofline arithmetic; ours.

    A step reads the weights that its tokens use, then each sequence's cache, and multiplies, at the shares of the peak
    rates that `efficiency` states. Of E experts, k for each of n tokens,
    E (1 - (1 - k/E)^n) are expected to be read. For a dense model the arithmetic is linear in sequences and KV
    tokens, and the fit is exact; for experts it is not, and the fit's error says by how much. read: what counts as the
    KV tokens of a sequence (`Worker.read`); None: its tokens.
    """
    groups = [m for m in model.mlp_groups if m.num_experts]
    reached = efficiency.expert_products if groups else efficiency.products
    flops = gpu.flops_per_s(WEIGHT_BITS[model.dtype]) * tensor_parallel_size * reached
    moe = sum(m.count for m in groups)
    dense = max(0, model.num_hidden_layers - moe)
    layers_s = dense * efficiency.layer_s + moe * efficiency.expert_layer_s
    bits, parts = model.bits(), model.parts
    always = sum(parts[part] * bits[part] for part in ("attention", "mlp", "router", "shared_experts")) / 8
    always += model.embedding_parameters * bits["head"] / 8
    routed = [
        (m.count * m.routed_parameters * bits["experts"] / 8, 1 - m.num_experts_per_tok / m.num_experts) for m in groups
    ]
    read_s = 1 / (gpu.hbm_bandwidth_bytes_per_s * efficiency.weights * tensor_parallel_size)
    kv_read_s = 1 / (gpu.hbm_bandwidth_bytes_per_s * efficiency.kv)

    def latency_s(sequences: int, context_tokens: int, prompt_tokens: int) -> float:
        touched = sum(size * (1 - untouched ** (sequences + prompt_tokens)) for size, untouched in routed)
        weights_s = (always + touched) * read_s
        kv_s = sequences * model.read_bytes(context_tokens, kv_cache_dtype, tensor_parallel_size) * kv_read_s
        decode_s = sequences * model.flops_per_token() / flops * efficiency.visible
        prefill_s = prompt_tokens * model.flops_per_token(prompt_tokens / 2, logits=False) / flops
        return layers_s + weights_s + kv_s + decode_s + prefill_s

    return fit_step_time(latency_s, max_num_seqs, read)
