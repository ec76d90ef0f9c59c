"""Fields that nobody read: which may be passed over, and which say something of the layers that is not understood."""

from collections.abc import Mapping
from typing import Any

from shadowprice.errors import FleetError

# A field one of whose words is among these says nothing of what a layer keeps or weighs.
_HARMLESS_WORDS = frozenset({
    "act", "activation", "alibi", "alpha", "audio", "aux", "beam", "beams", "beta", "cap", "checkpointing", "clip",
    "coef", "coefficient", "dropout", "dropped", "dtype", "eps", "epsilon", "flash", "floor", "fn", "fp32", "fused",
    "gradient", "image", "impl", "implementation", "init", "initializer", "jitter", "label", "labels", "layerdrop",
    "layernorm", "limit", "ln", "logit", "logits", "loss", "mtp", "mult", "multiplier", "multipliers", "mup",
    "nextn", "norm", "norms", "pdrop", "penalty", "pos", "position", "positions", "prob", "probs", "qkln",
    "quantization", "rms", "rmsnorm", "rope", "rotary", "scalar", "scale", "scales", "scaling", "score", "scoring",
    "sdpa", "seed", "sink", "softcap", "softcapping", "speech", "suppress", "swiglu", "temperature", "theta",
    "token", "tokenizer", "tokens", "torchscript", "upcast", "video", "vision", "yarn",
})  # fmt: skip
# Fields that have a word of the layers in them and still say nothing of them.
_HARMLESS = frozenset({
    "_attn_implementation_internal", "activation_sparsity_pattern", "add_cross_attention", "altup_active_idx",
    "altup_coef_clip", "altup_correct_scale", "altup_lr_multiplier", "apply_residual_connection_post_layernorm",
    "attention_multiplier", "attention_out_bias", "attention_softmax_in_fp32", "attention_value_scale", "attn_bias",
    "attn_implementation", "attn_scale", "attn_temperature_tuning", "chunk_size", "chunk_size_feed_forward",
    "classifier_bias", "conv_bias", "conv_use_xavier_init", "cross_attention_hidden_size", "dim_model_base",
    "embd_layer", "enable_lm_head_fp32", "enable_moe_fp32_combine", "ep_size", "expert_bias_update_factor",
    "expert_selection_fn", "full_attn_alpha_factor", "full_attn_beta_factor", "group_norm_size", "head_bias",
    "hidden_act", "hidden_activation", "hidden_mamba_act", "image_token_index", "kv_cache_scheme",
    "layer_norm_elementwise_affine", "layer_rope_theta", "layernorm_full_attention_beta",
    "layernorm_linear_attention_beta", "layernorm_mlp_beta", "linear_a_log_max", "linear_a_log_min",
    "linear_allow_neg_eigval", "linear_attn_alpha_factor", "linear_attn_beta_factor", "linear_dt_init_floor",
    "linear_dt_max", "linear_dt_min", "linear_rope", "linear_scale", "linear_silu", "lm_head_bias",
    "mamba_chunk_size", "mamba_conv_bias", "mamba_dt_unused", "mamba_hidden_act", "mamba_norm_before_gate",
    "mamba_proj_bias", "mamba_rms_norm", "mask_token_index", "max_window_layers", "memory_efficient_attention",
    "mlp_alpha_factor", "mlp_beta_factor", "mlp_bias", "mlp_hidden_act", "mlp_multipliers",
    "moe_apply_router_weight_on_input", "moe_dropout", "moe_norm_min", "moe_renormalize",
    "moe_router_activation_func", "moe_router_enable_expert_bias", "moe_router_topk_scaling_factor",
    "moe_router_use_fp32", "moe_shared_expert_overlap", "moe_token_dispatcher_type", "n_group", "need_fp32_gate",
    "no_bias", "no_rope_layer_interval", "no_rope_layers", "num_beam_groups", "num_expert_group",
    "num_ln_in_parallel_attn", "num_logits_to_keep", "num_nextn_predict_layers", "output_attentions",
    "output_hidden_states", "parallel_attn", "pretraining_tp", "projectors_bias", "qk_head_dim", "qk_layernorm",
    "qk_ln", "qk_norm", "reorder_and_upcast_attn", "rescale_every", "rescale_prenorm_residual", "residual_dropout",
    "residual_in_fp32", "route_norm", "scale_attention_softmax_in_fp32", "scale_attn_by_inverse_layer_idx",
    "scale_attn_weights", "shared_expert_combination_strategy", "ssm_in_multiplier", "ssm_multipliers",
    "ssm_out_multiplier", "tie_word_embeddings", "topk_group", "topk_method", "use_associative_scan",
    "use_attn_bias", "use_bidirectional_attention", "use_cache_kernel", "use_cache_quantization", "use_conv_bias",
    "use_dynamic_ntk", "use_expert_bias", "use_flash_attn", "use_grouped_topk", "use_logn_attn",
    "use_mamba_kernels", "use_mambapy", "use_parallel_residual", "use_post_norm", "use_qk_norm", "use_rope_layers",
    "use_sliding_window",
})  # fmt: skip
# Words of fields that say what layers are, how wide, or what they keep.
_OF_LAYERS = (
    *("layer", "head", "attn", "attention", "expert", "moe", "mamba", "ssm", "state", "window", "block", "kv", "lora"),
    *(
        "hidden",
        "intermediate",
        "width",
        "sparse",
        "linear",
        "conv",
        "ffn",
        "ffw",
        "mlp",
        "group",
        "shar",
        "cla_",
        "_cla",
    ),
    *(
        "dim",
        "inner",
        "rank",
        "channel",
        "slid",
        "chunk",
        "index",
        "pattern",
        "interval",
        "period",
        "freq",
        "topk",
        "top_k",
    ),
    *(
        "recur",
        "rwkv",
        "retention",
        "gat",
        "memor",
        "compress",
        "latent",
        "lru",
        "ngram",
        "loop",
        "stream",
        "altup",
        "delta",
    ),
)
# Parts of a model that are counted apart (encoders) or not at all (projectors, speech output).
_OTHER_PARTS = (
    "vision",
    "audio",
    "talker",
    "code2wav",
    "encoder",
    "projector",
    "quantization_config",
    "rope_parameters",
)

WAY_ON = (
    "the way on: describe its shape under [model] in a fleet file, or leave [model] out and give kv_tokens "
    "(--kv-tokens) and [step_time]; docs/fleet.md"
)


def refuse_unread(unread: Mapping[str, Any], kind: str) -> None:
    """Raise FleetError for a field that says something of the layers and that this type is not known to have."""
    for key, value in unread.items():
        if value in (None, False, 0, "", [], {}) or not _of_layers(key):
            continue
        found = repr(value)
        raise FleetError(
            f"{key} is {found[:60]}; expected a model whose layers are plain attention and MLPs, or only what is known "
            f"of model_type {kind!r}; {WAY_ON}"
        )


def _of_layers(key: str) -> bool:
    word = key.lower().lstrip("_")
    if word in _HARMLESS or word.startswith(_OTHER_PARTS) or _HARMLESS_WORDS & set(word.split("_")):
        return False
    return any(part in word for part in _OF_LAYERS)
