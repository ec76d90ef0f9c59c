"""Rows of the table for models whose layers are of several kinds, or whose parts no plain row describes."""

from shadowprice.errors import FleetError
from shadowprice.fleet.config.attention import FULL, SLIDING, Biases
from shadowprice.fleet.config.family import Family
from shadowprice.fleet.config.mlps import MlpForm
from shadowprice.fleet.config.odd_names import (
    Config,
    all_alike,
    blocks_of_their_own,
    every_nth,
    fitted_width,
    flags_of_layers,
    indices,
    kimi_linear,
    letters,
    no_rope,
    period_and_offset,
    repeated_blocks,
    whole,
    without,
)
from shadowprice.fleet.config.shape import Shape, object_in
from shadowprice.fleet.sections import Section

_MAMBA = {
    "state_size": "mamba_d_state", "conv_kernel": "mamba_d_conv", "expand": "mamba_expand",
    "time_step_rank": "mamba_dt_rank", "mamba_num_heads": "mamba_n_heads", "mamba_head_dim": "mamba_d_head",
    "n_groups": "mamba_n_groups", "mamba_intermediate_size": "mamba_d_ssm",
}  # fmt: skip
_DELTA = {"linear_attention": "gated_delta"}
_QWEN_NEXT = Family(
    prepare=every_nth("full_attention_interval", 4), words=_DELTA, biases=Biases(gated=True), windowed=None
)
_MAMBA_1, _MAMBA_2 = {"mamba": "mamba_1"}, {"mamba": "mamba_2", "linear_attention": "mamba_2"}
_LIGHTNING = {"linear_attention": "lightning"}


def _mamba_2_alone(config: Config) -> Config:
    """The heads are the state's, not those of an attention."""
    heads, size = whole(config, "num_heads", 128, least=1), whole(config, "head_dim", 64, least=1)
    return without(all_alike("mamba")(config), "num_heads", "head_dim", mamba_num_heads=heads, mamba_head_dim=size)


def _granite_hybrid(config: Config) -> Config:
    """Without experts the shared MLP is the only one."""
    found = indices("attention_layers", "mamba")(config)
    if whole(config, "num_local_experts", 0) == 0:
        width = whole(config, "shared_intermediate_size", whole(config, "intermediate_size", 0))
        return without(
            found, "shared_intermediate_size", "num_local_experts", "num_experts_per_tok", intermediate_size=width
        )
    return found


def _nemotron_h(config: Config) -> Config:
    found = letters(config)
    sparse = ["sparse" if word in ("E", "moe") else "dense" for word in found["layer_types"]]
    return {**found, "mlp_layer_types": sparse}


def _longcat(config: Config) -> Config:
    # Of the experts that the router chooses from some do nothing: fewer parameters are active than is counted.
    layers = whole(config, "num_layers", least=1)
    return without(config, "num_layers", "zero_expert_num", "zero_expert_type", num_hidden_layers=layers)


def _gemma_4(config: Config) -> Config:
    """Head sizes by layer are those of full layers; experts only with their block; wide MLPs at the end."""
    flags = Section("", {k: v for k, v in config.items() if v is not None})
    found: dict[str, object] = {}
    sizes = {
        entry.get("head_dim") for entry in object_in(config, "per_layer_config").values() if isinstance(entry, dict)
    }
    if len(sizes) > 1:
        raise FleetError(f"per_layer_config has heads of {len(sizes)} sizes; expected one, that of full layers")
    if sizes:
        found["global_head_dim"] = sizes.pop()
    gone = ["per_layer_config", "use_double_wide_mlp", "enable_moe_block"]
    if not flags.flag("enable_moe_block", False):
        gone += ["num_experts", "top_k_experts", "moe_intermediate_size"]
    layers, shared = whole(config, "num_hidden_layers", least=1), whole(config, "num_kv_shared_layers", 0)
    if flags.flag("use_double_wide_mlp", False) and shared:
        width = whole(config, "intermediate_size", least=1)
        found["intermediate_size"] = [width * (2 if i >= layers - shared else 1) for i in range(layers)]
    return without(config, *gone, **found)


def learned_positions(shape: Shape) -> int:
    """An embedding of every position."""
    positions = shape.whole("n_positions", shape.whole("max_position_embeddings", 0, least=0), least=0)
    return positions * shape.needed("hidden_size")


def gemma_3n_other(shape: Shape) -> int:
    """Embeddings of every layer's own, and the projections of the parallel streams."""
    layers, hidden = shape.needed("num_hidden_layers"), shape.needed("hidden_size")
    streams, laurel = shape.whole("altup_num_inputs", 4), shape.whole("laurel_rank", 64)
    each = 2 * hidden * laurel + streams * (hidden + streams**2 + streams)
    return own_embeddings(shape) + layers * each + 2 * (streams - 1) * hidden * hidden


def own_embeddings(shape: Shape) -> int:
    """Embeddings of every layer's own, the projection to them, and each layer's way in and out; 0 without them."""
    layers, hidden = shape.needed("num_hidden_layers"), shape.needed("hidden_size")
    own = shape.whole("hidden_size_per_layer_input", 0, least=0)
    vocabulary = shape.whole("vocab_size_per_layer_input", shape.needed("vocab_size"), least=0)
    return (vocabulary + 3 * hidden) * layers * own


GEMMA_3N = Family(
    tied=True,
    pattern="LLLLG",
    defaults={
        "hidden_size": 2048, "num_hidden_layers": 35, "num_attention_heads": 8, "num_key_value_heads": 2,
        "head_dim": 256,
        "intermediate_size": 16384, "sliding_window": 512, "vocab_size": 262400, "num_kv_shared_layers": 15,
        "hidden_size_per_layer_input": 256, "vocab_size_per_layer_input": 262144, "laurel_rank": 64,
    },
    other=gemma_3n_other,
)  # fmt: skip

GEMMA_4 = Family(
    tied=True,
    pattern="6",
    prepare=_gemma_4,
    mlp=MlpForm(residual=1),
    defaults={"head_dim": 256, "sliding_window": 512},
    names={"num_experts_per_tok": "top_k_experts"},
    other=own_embeddings,
)

LLAMA_4 = Family(
    prepare=no_rope,
    mlp=MlpForm(shared_experts=1),
    names={"sliding_window": "attention_chunk_size", "dense_intermediate_size": "intermediate_size_mlp"},
)

LONGCAT = Family(
    pattern="",
    prepare=_longcat,
    repeats=2,
    mlp=MlpForm(residual=2),
    names={
        "intermediate_size": "ffn_hidden_size", "moe_intermediate_size": "expert_ffn_hidden_size",
        "num_experts_per_tok": "moe_topk",
    },
)  # fmt: skip

HYBRIDS: dict[str, Family] = {
    **dict.fromkeys(("qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"), _QWEN_NEXT),
    "olmo_hybrid": Family(words=_DELTA, windowed=None),
    "kimi_linear": Family(
        prepare=kimi_linear, windowed=None, words={"kda": "kimi_delta", "linear_attention": "kimi_delta"},
        names={"num_experts_per_tok": "num_experts_per_token", "n_shared_experts": "num_shared_experts"},
    ),
    "jamba": Family(prepare=period_and_offset, words=_MAMBA_1, windowed=None,
                    names={**_MAMBA, "decoder_sparse_step": "expert_layer_period"}),
    "bamba": Family(prepare=indices("attn_layer_indices", "mamba"), words=_MAMBA_2, windowed=None, names=_MAMBA),
    "granitemoehybrid": Family(
        prepare=_granite_hybrid, words=_MAMBA_2, windowed=None,
        names={**_MAMBA, "shared_expert_intermediate_size": "shared_intermediate_size"},
    ),
    "falcon_h1": Family(beside="mamba_2", windowed=None, names=_MAMBA),
    "nemotron_h": Family(
        prepare=_nemotron_h, mlp=MlpForm(matrices=2), windowed=None,
        words={"M": "mamba_2", "*": FULL, "-": "none", "E": "none", "mamba": "mamba_2", "linear_attention": "mamba_2",
               "moe": "none", "mlp": "none"},
        bare=frozenset({"mamba_2", FULL}),
        names={"state_size": "ssm_state_size", "head_dim": "attention_head_dim",
               "shared_expert_intermediate_size": "moe_shared_expert_intermediate_size"},
        defaults={"mamba_head_dim": 64, "n_groups": 8, "mamba_ssm_cache_dtype": "float32", "head_dim": 128},
    ),
    **dict.fromkeys(("mamba", "falcon_mamba"), Family(
        tied=True, prepare=all_alike("mamba"), words=_MAMBA_1, bare=frozenset({"mamba_1"}), windowed=None,
        names={"mamba_intermediate_size": "intermediate_size"},
    )),
    "mamba2": Family(prepare=_mamba_2_alone, words=_MAMBA_2, bare=frozenset({"mamba_2"}), windowed=None),
    "recurrent_gemma": Family(
        tied=True, prepare=repeated_blocks, mlp=MlpForm(halved=True), defaults={"head_dim": 256},
        words={"recurrent": "gated_recurrence", "attention": SLIDING},
    ),
    "lfm2": Family(tied=True, prepare=fitted_width, words={"conv": "short_convolution"}, windowed=None),
    "lfm2_moe": Family(
        tied=True, prepare=indices("full_attn_idxs", "conv"), words={"conv": "short_convolution"}, windowed=None,
        names={"first_k_dense_replace": "num_dense_layers"},
    ),
    "bailing_moe_linear": Family(
        prepare=every_nth("layer_group_size", 1), words=_LIGHTNING, windowed=None,
        names={"n_shared_experts": "num_shared_experts",
               "shared_expert_intermediate_size": "moe_shared_expert_intermediate_size"},
    ),
    **dict.fromkeys(("minimax", "minimax_text_01", "minimax_m1"), Family(
        prepare=flags_of_layers("attn_type_list", ("linear_attention", FULL)), words=_LIGHTNING, windowed=None,
    )),
    **dict.fromkeys(("mimo_v2_flash", "mimo_v2"), Family(
        prepare=flags_of_layers("hybrid_layer_pattern", (FULL, "sliding_attention")),
        names={"sliding_window": "sliding_window_size"},
    )),
    **dict.fromkeys(("deci", "nemotron-nas"), Family(prepare=blocks_of_their_own, pattern="")),
}  # fmt: skip
