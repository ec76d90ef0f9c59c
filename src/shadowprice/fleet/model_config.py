"""Model shapes from a Hugging Face config.json."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shadowprice.errors import FleetError
from shadowprice.fleet.model_dtype import sidecar_quantisation, weight_format
from shadowprice.fleet.models import Model
from shadowprice.fleet.sections import Section

_QKV_BIAS = {"qwen2", "qwen2_moe", "qwen2_vl", "qwen2_5_vl", "gpt2", "opt", "gpt_neox"}  # there, but named by no key
_PLAIN_MLP = {"gpt2", "opt", "gpt_neox", "gpt_bigcode", "starcoder2", "phi", "falcon", "bloom", "mpt", "nemotron"}
_TIED = {"gemma", "gemma2", "gemma3", "gemma3_text", "gpt2", "opt", "cohere", "cohere2"}  # where the file is silent
_SLIDING = {"sliding_attention", "chunked_attention"}
# Keys of models whose layers differ in ways that the shape cannot say: state-space and linear attention, sparse or
# compressed attention, layers of several widths, encoder-decoders. Reading them as plain layers would be wrong.
_UNSUPPORTED = (
    *("mamba_d_state", "mamba_num_heads", "ssm_cfg", "ssm_state_size", "state_size", "hybrid_override_pattern"),
    *("layers_block_type", "full_attention_interval", "attn_layer_period", "linear_attn_config", "attn_type_list"),
    *("index_topk", "compress_ratios", "sparse_attention_config", "block_configs", "hybrid_layer_pattern"),
    *("global_head_dim", "attention_k_eq_v", "hidden_size_per_layer_input", "rwkv_version", "cross_attention_layers"),
)


def read_model(path: str | Path) -> Model:
    """Read the shape of a decoder-only transformer from its config.json.

    Dense, grouped-query, multi-head latent, mixture-of-experts and sliding-window models are understood; of a model
    that also reads images, the decoder and the vision tower. Models that the shape cannot describe (state-space,
    linear or sparse attention, layers of several widths) are refused.

    Parameters
    ----------
    path : str or Path
        The file, or the folder that holds it.

    Returns
    -------
    Model
        Its shape.

    Raises
    ------
    FleetError
        Naming file and field.
    """
    path = Path(path)
    try:
        path = path / "config.json" if path.is_dir() else path
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FleetError(f"{path}: no such file; expected a Hugging Face config.json") from None
    except (OSError, ValueError, RecursionError) as error:
        raise FleetError(f"{path}: not a readable JSON file: {error}") from None
    if not isinstance(config, dict):
        raise FleetError(f"{path}: holds a {type(config).__name__}; expected one JSON object")
    quantisation = sidecar_quantisation(path.parent)
    if quantisation and not config.get("quantization_config"):
        config["quantization_config"] = quantisation
    try:
        return model_from_config(config, name=path.absolute().parent.name or path.stem)
    except FleetError as error:
        raise FleetError(f"{path}: {error}") from None


def model_from_config(config: Mapping[str, Any], name: str) -> Model:
    """The shape in a parsed config.json. Raises FleetError naming the field."""
    decoder = _object(config, "text_config") or _object(config, "llm_config") or config
    shape = Section("", {k: v for k, v in decoder.items() if v is not None})
    for key in _UNSUPPORTED:
        if shape.table.get(key) and not _all_full(shape.table[key]):
            found = repr(shape.table[key])
            raise FleetError(f"{key} is {found[:60]}; expected a model whose layers are plain attention and MLPs")
    if shape.flag("is_encoder_decoder", False):
        raise FleetError("is_encoder_decoder is true; expected a decoder-only model")
    kind = shape.text("model_type", "")
    layers = _whole(shape, "num_hidden_layers", "n_layer", "num_layers")
    outer = Section("", config).flag("tie_word_embeddings", kind in _TIED)
    return Model(
        name=name,
        hidden_size=_whole(shape, "hidden_size", "n_embd", "d_model"),
        num_hidden_layers=layers,
        num_attention_heads=_whole(shape, "num_attention_heads", "n_head"),
        vocab_size=_whole(shape, "vocab_size"),
        tie_word_embeddings=shape.flag("tie_word_embeddings", outer),
        mlp_matrices=2 if kind in _PLAIN_MLP else 3,
        qkv_bias=shape.flag("attention_bias", kind in _QKV_BIAS),
        **_heads(shape),
        **_mlp(shape, kind, layers),
        **_window(shape, kind, layers),
        other_parameters=_vision_parameters(Section("vision_config", _object(config, "vision_config"))),
        dtype=weight_format(config, decoder),
    )


def _all_full(flags: Any) -> bool:
    """Whether a list of flags says that every layer is of the plain kind (1)."""
    return isinstance(flags, list) and all(flag == 1 for flag in flags)


def _heads(shape: Section) -> dict[str, int]:
    """Attention heads: latent where kv_lora_rank says so, grouped otherwise."""
    heads = _whole(shape, "num_attention_heads", "n_head")
    kv_heads = shape.whole("num_key_value_heads", shape.whole("num_kv_heads", heads))
    if "kv_lora_rank" in shape:
        return {
            "num_key_value_heads": kv_heads,
            "head_dim": _whole(shape, "qk_nope_head_dim"),
            "kv_lora_rank": _whole(shape, "kv_lora_rank"),
            "q_lora_rank": shape.whole("q_lora_rank", 0, least=0),
            "qk_rope_head_dim": _whole(shape, "qk_rope_head_dim"),
            "v_head_dim": _whole(shape, "v_head_dim"),
        }
    hidden = _whole(shape, "hidden_size", "n_embd", "d_model")
    if "head_dim" not in shape and hidden % heads:
        raise FleetError(f"head_dim is missing, and hidden_size {hidden} is no multiple of {heads} attention heads")
    one_head = shape.flag("multi_query", False) and "num_kv_heads" not in shape
    return {"num_key_value_heads": 1 if one_head else kv_heads, "head_dim": shape.whole("head_dim", hidden // heads)}


def _mlp(shape: Section, kind: str, layers: int) -> dict[str, int]:
    """Widths of the MLPs and how many layers have experts."""
    experts = max(shape.whole(k, 0, least=0) for k in ("num_experts", "n_routed_experts", "num_local_experts"))
    if experts <= 1:
        if "intermediate_size" in shape:
            return {"intermediate_size": shape.whole("intermediate_size", 0)}
        hidden = _whole(shape, "hidden_size", "n_embd", "d_model")
        return {"intermediate_size": shape.whole("n_inner", shape.whole("ffn_dim", 4 * hidden))}
    dense = shape.whole("intermediate_size", 0)
    width = shape.whole("moe_intermediate_size", dense) or _whole(shape, "intermediate_size")
    shared = shape.whole("n_shared_experts", 1 if kind.startswith("llama4") else 0, least=0) * width
    for key in ("shared_expert_intermediate_size", "share_expert_dim"):
        shared = shape.whole(key, shared, least=0)
    return {
        "intermediate_size": shape.whole("intermediate_size_mlp", dense or width),
        "num_experts": experts,
        "num_experts_per_tok": _whole(shape, "num_experts_per_tok", "num_experts_per_token", "experts_per_token"),
        "num_moe_layers": _moe_layers(shape, layers),
        "moe_intermediate_size": width,
        "shared_expert_intermediate_size": shared,
    }


def _moe_layers(shape: Section, layers: int) -> int:
    """How many layers have experts: from a list of flags, or after the first few, every step-th, save some."""
    if isinstance(shape.table.get("moe_layer_freq"), list):
        return sum(flag == 1 for flag in _list(shape, "moe_layer_freq"))
    if _list(shape, "moe_layers"):
        return len(_list(shape, "moe_layers"))
    step = shape.whole(
        "moe_layer_freq", shape.whole("decoder_sparse_step", shape.whole("interleave_moe_layer_step", 1))
    )
    first = shape.whole("first_k_dense_replace", 0, least=0)
    dense = _list(shape, "mlp_only_layers")
    return sum(i >= first and (i + 1) % step == 0 and i not in dense for i in range(layers))


def _window(shape: Section, kind: str, layers: int) -> dict[str, int]:
    """The sliding window and how many layers have it."""
    types = _list(shape, "layer_types")
    for i, word in enumerate(types):
        if not isinstance(word, str) or word not in _SLIDING | {"full_attention"}:
            raise FleetError(f"layer_types[{i}] is {word!r}; accepted: full_attention, {', '.join(sorted(_SLIDING))}")
    window = shape.whole("sliding_window", shape.whole("attention_chunk_size", 0, least=0), least=0)
    if window == 0 or not shape.flag("use_sliding_window", True):
        return {}
    if types:
        sliding = sum(word in _SLIDING for word in types)
    elif "sliding_window_pattern" in shape or kind in ("gemma3", "gemma3_text"):
        sliding = layers - layers // shape.whole("sliding_window_pattern", 6)  # every pattern-th layer is full
    elif kind.startswith("llama4"):
        sliding = layers - layers // 4
    elif kind in ("gemma2", "gpt_oss"):
        sliding = (layers + 1) // 2  # the first of every two
    else:
        sliding = max(0, layers - shape.whole("max_window_layers", 0, least=0))
    return {"sliding_window": window, "num_sliding_layers": sliding} if sliding else {}


def _vision_parameters(vision: Section) -> int:
    """Of a plain vision transformer, from its widths; 0 where the file does not give them."""
    hidden = vision.whole("hidden_size", 0)
    layers = vision.whole("num_hidden_layers", vision.whole("depth", 0))
    return layers * hidden * (4 * hidden + 2 * vision.whole("intermediate_size", 4 * hidden, least=0))


def _object(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = table.get(key) or {}
    if not isinstance(value, dict):
        raise FleetError(f"{key} is {value!r}; expected an object")
    return value


def _list(shape: Section, key: str) -> list[Any]:
    value = shape.table.get(key) or []
    if not isinstance(value, list):
        raise FleetError(f"{key} is {value!r}; expected a list")
    return value


def _whole(shape: Section, *names: str) -> int:
    """The first of several names for one number, which must be there."""
    for name in names:
        if name in shape:
            return shape.whole(name, 0)
    raise FleetError(f"{names[0]} is missing; expected a whole number >= 1")
