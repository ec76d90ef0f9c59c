"""Files that say the plain things in ways of their own, put into standard names: one function for each way.

Each takes the decoder's config and answers with one in which layer_types lists every layer and the numbers bear their
standard names; what it has understood it leaves out.
"""

from collections.abc import Callable, Mapping
from typing import Any

from shadowprice.errors import FleetError
from shadowprice.fleet.config.shape import object_in
from shadowprice.fleet.sections import Section

Config = Mapping[str, Any]
Prepare = Callable[[Config], Config]


def without(config: Config, *keys: str, **standard: Any) -> Config:
    """The config without those keys, with these in place of them."""
    return {k: v for k, v in config.items() if k not in keys} | standard


def whole(config: Config, key: str, default: int | None = None, least: int = 0) -> int:
    """A whole number of the config; None: it must be there."""
    section = Section("", {k: v for k, v in config.items() if v is not None})
    if key not in section and default is None:
        raise FleetError(f"{key} is missing; expected a whole number >= {least}")
    return section.whole(key, default if default is not None else least, least=least)


def listed(config: Config, key: str, length: int | None = None) -> list[Any]:
    """A list of the config, of that many entries."""
    value = config.get(key) or []
    if not isinstance(value, list):
        raise FleetError(f"{key} is {value!r}; expected a list")
    if length is not None and len(value) != length:
        raise FleetError(f"{key} has {len(value)} entries; expected {length}, one for each layer")
    return value


def layers_of(config: Config) -> int:
    """How many layers there are, by the names that files use."""
    for key in ("num_hidden_layers", "num_layers", "n_layer", "n_layers"):
        if config.get(key) is not None:
            return whole(config, key, least=1)
    raise FleetError("num_hidden_layers is missing; expected a whole number >= 1")


def falcon(config: Config) -> Config:
    """multi_query is one KV head, unless the newer architecture says how many."""
    flags = Section("", {k: v for k, v in config.items() if v is not None})
    newer, one = flags.flag("new_decoder_architecture", False), flags.flag("multi_query", True)
    heads = whole(config, "num_attention_heads" if "num_attention_heads" in config else "n_head", least=1)
    kv_heads = whole(config, "num_kv_heads", heads, least=1) if newer else 1 if one else heads
    config = without(
        config, "multi_query", "new_decoder_architecture", "num_kv_heads", "n_head", num_attention_heads=heads
    )
    return without(config, "n_layer", num_hidden_layers=layers_of(config), num_key_value_heads=kv_heads)


def multi_query(config: Config) -> Config:
    """multi_query, where true (its default), is one KV head."""
    one = Section("", {k: v for k, v in config.items() if v is not None}).flag("multi_query", True)
    return without(config, "multi_query", **({"num_key_value_heads": 1} if one else {}))


def mpt(config: Config) -> Config:
    """KV heads stand in attn_config, the MLP is expansion_ratio times the hidden size."""
    hidden, heads = whole(config, "d_model", least=1), whole(config, "n_heads", least=1)
    inner = object_in(config, "attn_config")
    kind = inner.get("attn_type", "multihead_attention")
    kv_heads = 1 if kind == "multiquery_attention" else whole(inner, "kv_n_heads", heads, least=1)
    kv_heads = kv_heads if kind == "grouped_query_attention" or kind == "multiquery_attention" else heads
    ratio = whole(config, "expansion_ratio", 4, least=1)
    return without(
        config, "attn_config", "expansion_ratio", num_key_value_heads=kv_heads, intermediate_size=ratio * hidden
    )


def dbrx(config: Config) -> Config:
    """KV heads stand in attn_config, experts in ffn_config."""
    attention, experts = object_in(config, "attn_config"), object_in(config, "ffn_config")
    return without(
        config,
        "attn_config",
        "ffn_config",
        num_key_value_heads=whole(attention, "kv_n_heads", least=1),
        num_experts=whole(experts, "moe_num_experts", least=1),
        num_experts_per_tok=whole(experts, "moe_top_k", least=1),
        moe_intermediate_size=whole(experts, "ffn_hidden_size", least=1),
    )


def chatglm(config: Config) -> Config:
    """KV heads are groups where multi_query_attention is true; the padded vocabulary is the embedding's."""
    flags = Section("", {k: v for k, v in config.items() if v is not None})
    found = {"num_hidden_layers": layers_of(config)}
    if flags.flag("multi_query_attention", False):
        found["num_key_value_heads"] = whole(config, "multi_query_group_num", least=1)
    if "padded_vocab_size" in flags:
        found["vocab_size"] = whole(config, "padded_vocab_size", least=1)
    return without(config, "multi_query_attention", "multi_query_group_num", "padded_vocab_size", "num_layers", **found)


def opt(config: Config) -> Config:
    """Refuses an embedding that is narrower than the layers."""
    hidden = whole(config, "hidden_size", least=1)
    if whole(config, "word_embed_proj_dim", hidden) != hidden:
        raise FleetError(f"word_embed_proj_dim is {config['word_embed_proj_dim']!r}; expected hidden_size, {hidden}")
    return without(config, "word_embed_proj_dim")


def gpt_neo(config: Config) -> Config:
    """attention_types is a list of [kinds, times]."""
    kinds: list[Any] = listed(config, "attention_layers")
    for entry in [] if kinds else listed(config, "attention_types"):
        if not (
            isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], list) and isinstance(entry[1], int)
        ):
            raise FleetError(f"attention_types has {str(entry)[:60]}; expected [[kinds], times]")
        if not 0 <= entry[1] <= 10_000:
            raise FleetError(f"attention_types repeats {entry[1]} times; expected 0 to 10000")
        kinds += entry[0] * entry[1]
    heads = whole(config, "num_heads", least=1)
    return without(
        config, "attention_types", "attention_layers", "num_heads", "num_layers",
        layer_types=kinds, num_attention_heads=heads, num_hidden_layers=layers_of(config),
    )  # fmt: skip


def every_nth(key: str, usual: int, kind: str = "linear_attention") -> Prepare:
    """Every so many-th layer is full attention, the others are of another kind; a list in the file comes first."""

    def prepare(config: Config) -> Config:
        layers, step = layers_of(config), whole(config, key, usual, least=1)
        kinds = ["full_attention" if (i + 1) % step == 0 else kind for i in range(layers)]
        return without(config, key, layer_types=config.get("layer_types") or kinds)

    return prepare


def period_and_offset(config: Config) -> Config:
    """attn_layer_period and attn_layer_offset (Jamba)."""
    layers = layers_of(config)
    period, offset = whole(config, "attn_layer_period", 8, least=1), whole(config, "attn_layer_offset", 4)
    said = listed(config, "layers_block_type", layers) if config.get("layers_block_type") else None
    kinds = said or ["attention" if i % period == offset else "mamba" for i in range(layers)]
    return without(config, "attn_layer_period", "attn_layer_offset", "layers_block_type", layer_types=kinds)


def indices(key: str, kind: str) -> Prepare:
    """A list of the numbers of the layers of full attention, the others are of another kind."""

    def prepare(config: Config) -> Config:
        layers, full = layers_of(config), config.get(key)
        for name in ("layer_types", "layers_block_type"):
            if config.get(name):
                return without(config, key, "layers_block_type", layer_types=listed(config, name, layers))
        if not isinstance(full, list):
            raise FleetError(f"{key} is {full!r}, and layer_types is missing; expected a list of layer numbers")
        return without(config, key, layer_types=["full_attention" if i in full else kind for i in range(layers)])

    return prepare


def repeated_blocks(config: Config) -> Config:
    """block_types is repeated down the layers (RecurrentGemma), all its attention within the window."""
    layers, blocks = layers_of(config), listed(config, "block_types") or ["recurrent", "recurrent", "attention"]
    found = [blocks[i % len(blocks)] for i in range(layers)]
    window = whole(config, "attention_window_size", 2048)
    return without(
        config, "block_types", "_block_types", "attention_window_size", layer_types=found, sliding_window=window
    )


def all_alike(kind: str) -> Prepare:
    """Every layer is of one kind."""
    return lambda config: {**config, "layer_types": [kind] * layers_of(config)}


def letters(config: Config) -> Config:
    """hybrid_override_pattern has a letter for each layer: M, *, - or E (Nemotron-H)."""
    pattern = config.get("hybrid_override_pattern")
    if not isinstance(pattern, str):
        said = listed(config, "layers_block_type") or listed(config, "layer_types")
        if not said:
            raise FleetError(f"hybrid_override_pattern is {pattern!r}; expected a letter for each layer")
        layers = whole(config, "num_hidden_layers", len(said), least=1)
        return without(config, "layers_block_type", layer_types=said, num_hidden_layers=layers)
    if len(pattern) != layers_of(config):
        raise FleetError(
            f"hybrid_override_pattern has {len(pattern)} letters; expected {layers_of(config)}, one for each layer"
        )
    return without(config, "hybrid_override_pattern", layer_types=list(pattern))


def flags_of_layers(key: str, kinds: tuple[str, str]) -> Prepare:
    """A list of 0 and 1, one for each layer."""

    def prepare(config: Config) -> Config:
        flags = listed(config, key)
        if not flags and config.get("layer_types"):
            return without(config, key)
        flags = listed(config, key, layers_of(config))
        if any(flag not in (0, 1) or isinstance(flag, float) for flag in flags):
            raise FleetError(f"{key} is {str(flags)[:60]}; expected a list of 0 and 1")
        return without(config, key, layer_types=[kinds[int(flag)] for flag in flags])

    return prepare


def kimi_linear(config: Config) -> Config:
    """linear_attn_config numbers the layers of each kind from 1."""
    inner, layers = object_in(config, "linear_attn_config"), layers_of(config)
    if config.get("layer_types"):
        return config
    full = listed(inner, "full_attn_layers")
    delta = listed(inner, "kda_layers")
    if sorted(full + delta, key=str) != sorted(range(1, layers + 1), key=str):
        raise FleetError(
            f"linear_attn_config numbers {len(full) + len(delta)} layers; expected 1 to {layers}, each once"
        )
    return {**config, "layer_types": ["full_attention" if i + 1 in full else "kda" for i in range(layers)]}


def no_rope(config: Config) -> Config:
    """Layers without rotary positions are full, the others see their chunk (Llama 4)."""
    layers = layers_of(config)
    step = whole(config, "no_rope_layer_interval", 4, least=1)
    flags = listed(config, "no_rope_layers", layers) if config.get("no_rope_layers") else None
    flags = flags or [int((i + 1) % step != 0) for i in range(layers)]
    kinds = ["chunked_attention" if flag else "full_attention" for flag in flags]
    found = config.get("layer_types") or kinds
    return without(config, "no_rope_layer_interval", "no_rope_layers", layer_types=found)


def fitted_width(config: Config) -> Config:
    """The MLP's width is two thirds of the file's, times a factor, rounded up (LFM2)."""
    config = indices("full_attn_idxs", "conv")(config)
    flags = Section("", {k: v for k, v in config.items() if v is not None})
    width = whole(config, "intermediate_size" if config.get("intermediate_size") else "block_ff_dim", least=1)
    multiple, factor = whole(config, "block_multiple_of", 256, least=1), flags.number("block_ffn_dim_multiplier", 1.0)
    if flags.flag("block_auto_adjust_ff_dim", True):
        width = int(factor * int(2 * width / 3))
        width = -(-width // multiple) * multiple
    return without(
        config, "block_auto_adjust_ff_dim", "block_multiple_of", "block_ffn_dim_multiplier", "block_ff_dim",
        "block_dim", "block_use_swiglu", "conv_dim", "conv_dim_out", "block_mlp_init_scale", "block_out_init_scale",
        intermediate_size=width,
    )  # fmt: skip


def blocks_of_their_own(config: Config) -> Config:
    """block_configs says of each layer how many heads share a KV head, and how wide the MLP is (Nemotron-NAS)."""
    blocks = config.get("block_configs")
    if blocks is None:
        return config
    layers, hidden = layers_of(config), whole(config, "hidden_size", least=1)
    heads = whole(config, "num_attention_heads", least=1)
    kinds, kv_heads, widths = [], [], []
    for i, block in enumerate(listed(config, "block_configs", layers)):
        attention, ffn = (object_in(block if isinstance(block, dict) else {}, k) for k in ("attention", "ffn"))
        if attention.get("replace_with_linear") or ffn.get("replace_with_linear"):
            raise FleetError(
                f"block_configs[{i}] replaces a part by a linear layer; expected attention or none, MLP or none"
            )
        none = bool(attention.get("no_op"))
        share = heads if none else whole(attention, "n_heads_in_group", least=1)
        kinds.append("none" if none else "full_attention")
        kv_heads.append(max(1, heads // share))
        factor = 0.0 if ffn.get("no_op") else Section("", dict(ffn)).number("ffn_mult", 0.0)
        if not ffn.get("no_op") and not factor:
            raise FleetError(f"block_configs[{i}].ffn.ffn_mult is missing; expected a number > 0")
        width = int(2 * factor * hidden / 3)
        widths.append(-(-width // 256) * 256)
    return without(
        config, "block_configs", "num_key_value_heads",
        layer_types=kinds, num_key_value_heads_per_layer=kv_heads, intermediate_size=widths,
    )  # fmt: skip
