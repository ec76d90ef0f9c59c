"""Mixers that keep a state per sequence instead of keys and values of every token.

Sizes of states are those that vLLM allocates: the last inputs of the short convolution in the model's 16 bits, and the
recurrent state in the format that each type asks for.
"""

from collections.abc import Callable

from shadowprice.errors import FleetError
from shadowprice.fleet.config.shape import Shape
from shadowprice.fleet.layers import Mixer

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "auto": 2}


def _state_format(shape: Shape, usual: str) -> int:
    """Bytes of one number of the recurrent state."""
    word = shape.text("mamba_ssm_cache_dtype", shape.text("mamba_ssm_dtype", usual))
    if word not in _BYTES:
        raise FleetError(f"mamba_ssm_cache_dtype is {word!r}; accepted: {', '.join(_BYTES)}")
    return _BYTES[word]


def mamba_1(shape: Shape) -> Mixer:
    """Selective state space with one state per channel (Mamba, Jamba, Falcon-Mamba)."""
    hidden, states = shape.needed("hidden_size"), shape.needed("state_size")
    inner = shape.whole("mamba_intermediate_size", shape.whole("expand", 2) * hidden)
    kernel = shape.whole("conv_kernel", 4)
    rank = shape.table.get("time_step_rank")
    rank = -(-hidden // 16) if rank in (None, "auto") else shape.whole("time_step_rank", 1)
    projections = hidden * 2 * inner + inner * (rank + 2 * states) + rank * inner + inner + inner * hidden
    parameters = projections + inner * (kernel + 1) + inner * states + inner + hidden
    state = inner * (kernel - 1) * 2 + inner * states * _state_format(shape, "auto")
    return Mixer(1, parameters, state_bytes=state)


def mamba_2(shape: Shape, usual_format: str = "auto") -> Mixer:
    """State space with one matrix per head (Mamba 2, Bamba, Nemotron-H, Granite 4, Falcon-H1)."""
    hidden, states, groups = shape.needed("hidden_size"), shape.needed("state_size"), shape.whole("n_groups", 1)
    heads, head_dim = _mamba_heads(shape, hidden)
    shape.note("time_step_rank", "expand", "mamba_intermediate_size")
    kernel = shape.whole("conv_kernel", 4)
    inner = heads * head_dim
    mixed = inner + 2 * groups * states
    parameters = hidden * (inner + mixed + heads) + mixed * (kernel + 1) + 3 * heads + inner + inner * hidden + hidden
    state = mixed * (kernel - 1) * 2 + inner * states * _state_format(shape, usual_format)
    return Mixer(1, parameters, state_bytes=state)


def _mamba_heads(shape: Shape, hidden: int) -> tuple[int, int]:
    """Heads and head size; of inner width, number and size two are enough."""
    inner = shape.whole("mamba_intermediate_size", shape.whole("expand", 2) * hidden)
    heads, size = shape.whole("mamba_num_heads", 0, least=0), shape.table.get("mamba_head_dim")
    if size in (None, "auto"):
        heads = heads or shape.needed("mamba_num_heads")
        return heads, inner // heads
    size = shape.whole("mamba_head_dim", 1)
    return heads or inner // size, size


def gated_delta(shape: Shape) -> Mixer:
    """Gated delta rule (Qwen3-Next, Qwen3.5, OLMo hybrid): a matrix of key size x value size per value head."""
    hidden = shape.needed("hidden_size")
    keys, values = shape.needed("linear_num_key_heads"), shape.needed("linear_num_value_heads")
    key_dim, value_dim = shape.whole("linear_key_head_dim", 128), shape.whole("linear_value_head_dim", 128)
    kernel = shape.whole("linear_conv_kernel_dim", 4)
    mixed = 2 * keys * key_dim + values * value_dim
    parameters = hidden * (mixed + values * value_dim) + hidden * 2 * values + mixed * kernel + 2 * values + value_dim
    parameters += values * value_dim * hidden + 2 * hidden
    state = mixed * (kernel - 1) * 2 + values * key_dim * value_dim * _state_format(shape, "auto")
    return Mixer(1, parameters, state_bytes=state)


def kimi_delta(shape: Shape) -> Mixer:
    """Kimi Delta Attention: a gated delta rule whose decay is per channel, from two projections of low rank."""
    hidden, linear = shape.needed("hidden_size"), shape.object("linear_attn_config")
    heads = linear.whole("num_heads", shape.whole("linear_num_heads", 0, least=0))
    size = linear.whole("head_dim", shape.whole("linear_head_dim", 0, least=0))
    if not heads or not size:
        raise FleetError("linear_attn_config.num_heads or head_dim is missing; expected whole numbers >= 1")
    kernel = linear.whole("short_conv_kernel_size", shape.whole("linear_conv_kernel_dim", 4))
    width = heads * size
    low_rank = 2 * (hidden * size + size * width)
    parameters = 4 * hidden * width + 3 * width * kernel + low_rank + hidden * heads + heads + width + size + 2 * hidden
    state = 3 * width * (kernel - 1) * 2 + heads * size * size * 4
    return Mixer(1, parameters, state_bytes=state)


def lightning(shape: Shape) -> Mixer:
    """Linear attention with a matrix of head size x head size per head (MiniMax-01, Ring linear)."""
    hidden, heads = shape.needed("hidden_size"), shape.needed("num_attention_heads")
    size = shape.whole("head_dim", 0, least=0) or hidden // heads
    width = heads * size
    shape.note("block_size")
    state = heads * size * size * _state_format(shape, "auto")
    return Mixer(1, 5 * hidden * width + width + 2 * hidden, state_bytes=state)


def gated_recurrence(shape: Shape) -> Mixer:
    """Real-gated linear recurrent unit (RecurrentGemma, Griffin): one 32-bit number per channel, and a convolution."""
    hidden, heads = shape.needed("hidden_size"), shape.needed("num_attention_heads")
    width = shape.whole("lru_width", hidden)
    kernel = shape.whole("conv1d_width", 4)
    gates = 2 * (width * (width // heads) + width) + width
    parameters = 3 * hidden * width + 2 * width + hidden + width * (kernel + 1) + gates + 2 * hidden
    return Mixer(1, parameters, state_bytes=width * 4 + width * (kernel - 1) * 2)


def short_convolution(shape: Shape) -> Mixer:
    """Gated short convolution (LFM2): its last inputs are all that it keeps."""
    hidden, kernel = shape.needed("hidden_size"), shape.whole("conv_L_cache", 3)
    return Mixer(1, 4 * hidden * hidden + hidden * kernel + 2 * hidden, state_bytes=hidden * (kernel - 1) * 2)


STATES: dict[str, Callable[[Shape], Mixer]] = {
    "mamba_1": mamba_1,
    "mamba_2": mamba_2,
    "gated_delta": gated_delta,
    "kimi_delta": kimi_delta,
    "lightning": lightning,
    "gated_recurrence": gated_recurrence,
    "short_convolution": short_convolution,
}
