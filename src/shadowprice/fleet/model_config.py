"""Model shapes from a Hugging Face config.json."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shadowprice.errors import FleetError
from shadowprice.fleet.models import Model
from shadowprice.fleet.sections import Section

# The published name of a weight format, where quantization_config.quant_method says no more.
_QUANTISED = {
    "fp8": "fp8",
    "fbgemm_fp8": "fp8",
    "mxfp4": "mxfp4",
    "awq": "int4",
    "gptq": "int4",
    "modelopt_fp4": "nvfp4",
}
_TORCH = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
_QKV_BIAS = {"qwen2", "qwen2_moe", "gpt_oss", "qwen2_vl", "qwen2_5_vl"}  # always there, named by no key
_PLAIN_MLP = {"gpt2", "opt", "gpt_neox", "gpt_bigcode", "starcoder2", "phi", "falcon", "bloom", "mpt", "nemotron"}
_TIED_BY_DEFAULT = {"gemma", "gemma2", "gemma3", "gemma3_text", "gpt2", "opt", "cohere", "cohere2"}
_FULL, _SLIDING = {"full_attention"}, {"sliding_attention", "chunked_attention"}


def read_model(path: str | Path) -> Model:
    """Read the shape of a decoder-only transformer from its config.json (the file, or the folder that holds it).

    Dense, grouped-query, multi-head latent, mixture-of-experts and sliding-window models are understood; of a model
    that also reads images, the decoder and the vision tower. State-space and linear-attention layers are refused,
    since their cache does not grow with the context. Raises FleetError naming file and field.
    """
    path = Path(path)
    path = path / "config.json" if path.is_dir() else path
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FleetError(f"{path}: no such file; expected a Hugging Face config.json") from None
    except (OSError, ValueError, RecursionError) as error:
        raise FleetError(f"{path}: not a readable JSON file: {error}") from None
    if not isinstance(config, dict):
        raise FleetError(f"{path}: holds a {type(config).__name__}; expected one JSON object")
    try:
        return model_from_config(config, name=path.parent.name or path.stem)
    except FleetError as error:
        raise FleetError(f"{path}: {error}") from None


def model_from_config(config: Mapping[str, Any], name: str) -> Model:
    """The shape in a parsed config.json. Raises FleetError naming the field."""
    decoder = _object(config, "text_config") or _object(config, "llm_config") or config
    shape = Section("", {**{k: v for k, v in decoder.items() if v is not None}})
    kind = shape.text("model_type", "")
    layer_types = _layer_types(shape)
    layers = _whole(shape, "num_hidden_layers", "n_layer", "num_layers")
    hidden = _whole(shape, "hidden_size", "n_embd", "d_model")
    heads = _whole(shape, "num_attention_heads", "n_head")
    if hidden % heads and "head_dim" not in shape and "kv_lora_rank" not in shape:
        raise FleetError(f"hidden_size is {hidden}, no multiple of num_attention_heads, {heads}; expected head_dim")
    return Model(
        name=name,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        vocab_size=_whole(shape, "vocab_size"),
        tie_word_embeddings=_tied(config, shape, kind),
        mlp_matrices=2 if kind in _PLAIN_MLP else 3,
        qkv_bias=shape.flag("attention_bias", kind in _QKV_BIAS),
        **_heads(shape, hidden, heads),
        **_mlp(shape, hidden, layers),
        **_window(shape, kind, layers, layer_types),
        other_parameters=_vision_parameters(_object(config, "vision_config")),
        dtype=_dtype(config, shape),
    )


def _heads(shape: Section, hidden: int, heads: int) -> dict[str, int]:
    """Attention heads: latent where kv_lora_rank says so, grouped otherwise."""
    if "kv_lora_rank" in shape:
        return {
            "num_key_value_heads": shape.whole("num_key_value_heads", heads),
            "head_dim": _whole(shape, "qk_nope_head_dim"),
            "kv_lora_rank": _whole(shape, "kv_lora_rank"),
            "q_lora_rank": shape.whole("q_lora_rank", 0, least=0),
            "qk_rope_head_dim": _whole(shape, "qk_rope_head_dim"),
            "v_head_dim": _whole(shape, "v_head_dim"),
        }
    if shape.flag("multi_query", False) and "num_key_value_heads" not in shape:
        return {"num_key_value_heads": 1, "head_dim": hidden // heads}
    return {
        "num_key_value_heads": shape.whole("num_key_value_heads", heads),
        "head_dim": shape.whole("head_dim", hidden // heads),
    }


def _mlp(shape: Section, hidden: int, layers: int) -> dict[str, int]:
    """Widths of the MLPs and how many layers have experts."""
    experts = 0
    for key in ("num_experts", "n_routed_experts", "num_local_experts"):
        experts = experts or shape.whole(key, 0, least=0)
    dense = shape.whole("intermediate_size", None)
    if experts <= 1:
        return {"intermediate_size": dense or shape.whole("n_inner", shape.whole("ffn_dim", 4 * hidden))}
    width = shape.whole("moe_intermediate_size", None) or _whole(shape, "intermediate_size")
    shared = shape.whole("shared_expert_intermediate_size", 0, least=0)
    shared = shared or shape.whole("n_shared_experts", 0, least=0) * width
    step = shape.whole("decoder_sparse_step", shape.whole("interleave_moe_layer_step", 1))
    step = shape.whole("moe_layer_freq", step)
    first = shape.whole("first_k_dense_replace", 0, least=0)
    only_dense = _list(shape, "mlp_only_layers")
    moe_layers = sum(i >= first and (i + 1) % step == 0 and i not in only_dense for i in range(layers))
    return {
        "intermediate_size": shape.whole("intermediate_size_mlp", dense or width),
        "num_experts": experts,
        "num_experts_per_tok": shape.whole("num_experts_per_tok", None) or _whole(shape, "experts_per_token", "top_k"),
        "num_moe_layers": moe_layers,
        "moe_intermediate_size": width,
        "shared_expert_intermediate_size": shared,
    }


def _window(shape: Section, kind: str, layers: int, layer_types: list[str] | None) -> dict[str, int]:
    """The sliding window and how many layers have it."""
    window = shape.whole("sliding_window", None) or shape.whole("attention_chunk_size", None)
    if window is None or (not shape.flag("use_sliding_window", True)):
        return {}
    if layer_types is not None:
        sliding = sum(t in _SLIDING for t in layer_types)
    elif "sliding_window_pattern" in shape or kind in ("gemma3", "gemma3_text"):
        pattern = shape.whole("sliding_window_pattern", 6)
        sliding = layers - layers // pattern  # every pattern-th layer is full
    elif kind in ("gemma2", "gpt_oss"):
        sliding = (layers + 1) // 2  # the first of every two
    elif "max_window_layers" in shape:
        sliding = max(0, layers - shape.whole("max_window_layers", layers, least=0))
    else:
        sliding = layers
    return {"sliding_window": window, "num_sliding_layers": sliding} if sliding else {}


def _layer_types(shape: Section) -> list[str] | None:
    """One word per layer where the file has them; refuses layers that are no attention over the past."""
    for key in (
        "full_attention_interval",
        "mamba_d_state",
        "ssm_cfg",
        "attn_layer_period",
        "state_size",
        "rwkv_version",
    ):
        if key in shape:
            raise FleetError(f"{key} is {shape.table[key]!r}; expected a model whose every layer keeps a KV cache")
    types = _list(shape, "layer_types")
    for i, word in enumerate(types):
        if word not in _FULL | _SLIDING:
            raise FleetError(f"layer_types[{i}] is {word!r}; accepted: {', '.join(sorted(_FULL | _SLIDING))}")
    return types or None


def _dtype(config: Mapping[str, Any], shape: Section) -> str:
    """Format of the weights, quantisation first."""
    quantisation = _object(config, "quantization_config") or _object(shape.table, "quantization_config")
    if quantisation:
        method = Section("quantization_config", quantisation).text("quant_method", "")
        if method in _QUANTISED:
            return _QUANTISED[method]
        raise FleetError(f"quantization_config.quant_method is {method!r}; accepted: {', '.join(sorted(_QUANTISED))}")
    for key in ("dtype", "torch_dtype"):
        word = Section("", {**config, **shape.table}).text(key, None)
        if word is not None and word.removeprefix("torch.") in _TORCH:
            return _TORCH[word.removeprefix("torch.")]
        if word is not None:
            raise FleetError(f"{key} is {word!r}; accepted: {', '.join(_TORCH)}")
    return "bf16"


def _tied(config: Mapping[str, Any], shape: Section, kind: str) -> bool:
    """Whether the output head is the embedding; said by the file, else by the family."""
    outer = Section("", config).flag("tie_word_embeddings", kind in _TIED_BY_DEFAULT)
    return shape.flag("tie_word_embeddings", outer)


def _vision_parameters(vision: Mapping[str, Any]) -> int:
    """Of a plain vision transformer, from its widths; 0 where the file does not give them."""
    shape = Section("vision_config", vision)
    hidden, layers = shape.whole("hidden_size", 0), shape.whole("num_hidden_layers", 0)
    return layers * hidden * (4 * hidden + 2 * shape.whole("intermediate_size", 4 * hidden, least=0))


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
