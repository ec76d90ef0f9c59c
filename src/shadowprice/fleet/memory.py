"""How many KV tokens fit beside the weights."""

from dataclasses import dataclass

from shadowprice.errors import FleetError
from shadowprice.fleet.gpus import GIB, Gpu
from shadowprice.fleet.models import Model
from shadowprice.fleet.token_curve import token_bytes

# What the CUDA context, NCCL buffers and captured CUDA graphs take on each GPU.
RUNTIME_BYTES = int(1.0 * GIB)


@dataclass(frozen=True)
class Memory:
    """Where the memory of each GPU of a worker goes [bytes], and what is left for KV.

    share: what the engine may take. weights: this GPU's part. reserve: activations of the largest step and what the
    runtime takes. kv_bytes_per_token: on this GPU. kv_tokens: whole tokens of a worker that fit (may be 0).
    """

    share: int
    weights: int
    reserve: int
    kv_bytes_per_token: float
    kv_tokens: int


def activation_bytes(model: Model, max_num_batched_tokens: int, max_num_seqs: int, tensor_parallel_size: int) -> int:
    """Peak memory of one step's activations on each GPU [bytes]; ours, an estimate.

    In 16 bits: the residual and its normalised copy, and for each token the widest intermediate (the gate and up
    projections and their product); the logits of the sampled tokens in 16 and in 32 bits.
    """
    widest = max(m.width for m in model.mlp_groups) if model.mlp_groups else 0
    per_token = 2 * (2 * model.hidden_size + 3 * widest / tensor_parallel_size)
    return int(max_num_batched_tokens * per_token + max_num_seqs * model.vocab_size * 6)


def memory_of(
    gpu: Gpu,
    model: Model,
    tensor_parallel_size: int = 1,
    gpu_memory_utilization: float = 0.9,
    kv_cache_dtype: str = "bf16",
    max_num_batched_tokens: int = 8192,
    max_num_seqs: int = 256,
    context_tokens: int | None = None,
) -> Memory:
    """Split the memory of one GPU of a worker.

    context_tokens matters to a model with sliding windows only: a request of that context keeps fewer tokens than it
    has in the sliding layers, so more context fits. None counts every layer in full, which fits at any length.
    Raises FleetError when heads cannot be divided over the GPUs.
    """
    check_tensor_parallel(model, tensor_parallel_size)
    if context_tokens is None:
        per_token = token_bytes(model, kv_cache_dtype, tensor_parallel_size)
    else:
        per_token = model.kv_bytes(context_tokens, kv_cache_dtype, tensor_parallel_size) / context_tokens
    share = int(gpu.hbm_bytes * gpu_memory_utilization)
    weights = -(-model.weight_bytes() // tensor_parallel_size)
    reserve = RUNTIME_BYTES + activation_bytes(model, max_num_batched_tokens, max_num_seqs, tensor_parallel_size)
    left = share - weights - reserve
    return Memory(share, weights, reserve, per_token, max(0, int(left / per_token)))


def check_tensor_parallel(model: Model, tensor_parallel_size: int) -> None:
    """Raise FleetError unless the attention heads divide evenly over the GPUs, which every engine asks."""
    if model.num_attention_heads % tensor_parallel_size:
        raise FleetError(
            f"tensor_parallel_size is {tensor_parallel_size}; expected a divisor of {model.name}'s "
            f"{model.num_attention_heads} attention heads"
        )
