"""A parsed config.json becomes a Model: by its type's row of the table, or not at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shadowprice.errors import FleetError
from shadowprice.fleet.config.attention import FULL, SLIDING, attention_layers, head_size, kinds, window
from shadowprice.fleet.config.checkpoint import Layer, part_bits, read_quantisation, weight_format
from shadowprice.fleet.config.class_defaults import class_defaults
from shadowprice.fleet.config.encoders import encoder_parameters
from shadowprice.fleet.config.families import BY_ARCHITECTURE, FAMILIES, PLAIN
from shadowprice.fleet.config.family import Family
from shadowprice.fleet.config.keys import WAY_ON, refuse_unread
from shadowprice.fleet.config.mlps import mlp_layers
from shadowprice.fleet.config.shape import Shape, decoder_of
from shadowprice.fleet.config.states import STATES
from shadowprice.fleet.layers import Mixer, Mlp, grouped_equal
from shadowprice.fleet.models import Model
from shadowprice.fleet.names import did_you_mean
from shadowprice.fleet.sections import Section

MOST_LAYERS = 10_000
# What a checkpoint calls the module of a mixer, for the patterns of its quantisation.
_MODULES = {"mamba_1": "mamba", "mamba_2": "mixer", "gated_delta": "linear_attn", "kimi_delta": "self_attn"}


@dataclass(frozen=True)
class _Layers:
    """The kind of every layer, its mixers (one or two, or none) and its MLP, if it has one."""

    kinds: list[str]
    mixers: list[list[Mixer]]
    mlps: list[Mlp | None]

    @property
    def groups(self) -> tuple[tuple[Mixer, ...], tuple[Mlp, ...]]:
        """Equal ones together."""
        return (
            grouped_equal([mixer for each in self.mixers for mixer in each]),
            grouped_equal([mlp for mlp in self.mlps if mlp is not None]),
        )


def model_from_config(config: Mapping[str, Any], name: str) -> Model:
    """The shape in a parsed config.json. Raises FleetError naming the field."""
    decoder = {k: v for k, v in decoder_of(config).items() if v is not None}
    kind, family = _family(decoder, config)
    if Section("", decoder).flag("is_encoder_decoder", False):
        raise FleetError(f"is_encoder_decoder is true; expected a decoder-only model; {WAY_ON}")
    defaults = {**class_defaults(decoder, kind), **family.defaults}
    shape = Shape(family.prepare({**family.defaults, **decoder}), kind, family.names, defaults)
    layers = _layers(shape, family)
    tied = Section("", config).flag("tie_word_embeddings", family.tied)
    sizes = {
        "name": name,
        "hidden_size": shape.needed("hidden_size"),
        "num_hidden_layers": len(layers.kinds),
        "vocab_size": shape.needed("vocab_size"),
        "tie_word_embeddings": shape.flag("tie_word_embeddings", tied),
        "other_parameters": encoder_parameters(config) + family.other(shape),
    }
    model = _model(sizes | _plain_fields(shape, family, layers), layers)
    refuse_unread(shape.unread(), kind)
    quantised = read_quantisation(config, decoder)
    model = replace(model, dtype=weight_format(config, decoder, quantised))
    if quantised is None:
        return model
    modules = [
        Layer("self_attn" if kind in (FULL, SLIDING) else _MODULES.get(kind, ""), *_mlp_kind(mlp))
        for kind, mlp in zip(layers.kinds, layers.mlps, strict=True)
    ]
    return replace(model, part_bits=part_bits(model, quantised, modules))


def _mlp_kind(mlp: Mlp | None) -> tuple[bool, bool]:
    """Whether a layer has experts, and whether it has a dense MLP."""
    sparse = mlp is not None and mlp.num_experts > 0
    return sparse, mlp is not None and not sparse


def _family(decoder: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[str, Family]:
    """The row of the table: by class where that says more, else by model_type."""
    for source in (decoder, config):
        classes = source.get("architectures")
        for word in classes if isinstance(classes, list) else []:
            if isinstance(word, str) and word in BY_ARCHITECTURE:
                return BY_ARCHITECTURE[word], FAMILIES[BY_ARCHITECTURE[word]]
    kind = Section("", decoder).text("model_type", "")
    if kind and kind not in FAMILIES:
        raise FleetError(f"model_type is {kind!r}, which is not known; {did_you_mean(kind, FAMILIES)}; {WAY_ON}")
    return kind, FAMILIES.get(kind, PLAIN)


def _layers(shape: Shape, family: Family) -> _Layers:
    count = shape.needed("num_hidden_layers")
    if count > MOST_LAYERS:
        raise FleetError(f"{shape.place('num_hidden_layers')} is {count}; expected at most {MOST_LAYERS}")
    each = kinds(shape, family.pattern, dict(family.words))
    size = 0
    if family.windowed is not None and (family.pattern or SLIDING in each):
        size = window(shape, family.windowed)
    if SLIDING in each and not size and shape.entries("layer_types"):
        shape.needed("sliding_window")
    attention = attention_layers(shape, family.biases, each, size) if set(each) & {FULL, SLIDING} else [None] * count
    beside = [STATES[family.beside](shape)] if family.beside else []
    mixers = [[found] * family.repeats if found else [STATES[kind](shape)] if kind in STATES else []
              for found, kind in zip(attention, each, strict=True)]  # fmt: skip
    mlps = mlp_layers(shape, family.mlp, count, [kind not in family.bare for kind in each])
    return _Layers(each, [found + beside for found in mixers], mlps)


def _plain_fields(shape: Shape, family: Family, layers: _Layers) -> dict[str, Any]:
    """The fields of a plain Model that come nearest; they are the model where its groups are the same."""
    mixers, mlps = layers.groups
    hidden, matrices = shape.needed("hidden_size"), family.mlp.matrices
    shape.note("num_attention_heads", "num_key_value_heads", "head_dim")
    fields: dict[str, Any] = {"num_attention_heads": 0, "num_key_value_heads": 0, "head_dim": 0, "intermediate_size": 0}
    attention = [mixer for mixer in mixers if mixer.attention_dim]
    if attention:
        fields |= _attention_fields(shape, family, attention[0])
    sliding = [mixer for mixer in attention if mixer.window]
    if sliding:
        fields |= {"sliding_window": sliding[0].window, "num_sliding_layers": sliding[0].count}
    for mlp in mlps:
        if not mlp.num_experts:
            fields |= {"intermediate_size": mlp.width}
            continue
        fields |= {
            "num_experts": mlp.num_experts,
            "num_experts_per_tok": mlp.num_experts_per_tok,
            "num_moe_layers": mlp.count,
            "moe_intermediate_size": mlp.expert_parameters // (matrices * hidden),
            "shared_expert_intermediate_size": mlp.shared_parameters // (matrices * hidden),
        }
    if not fields["intermediate_size"] and "num_moe_layers" in fields:
        given = shape.table.get("intermediate_size")
        fields["intermediate_size"] = given if isinstance(given, int) and given > 0 else fields["moe_intermediate_size"]
    return fields | {"mlp_matrices": matrices}


def _attention_fields(shape: Shape, family: Family, mixer: Mixer) -> dict[str, Any]:
    heads = shape.needed("num_attention_heads")
    if "kv_lora_rank" in shape:
        return {
            "num_attention_heads": heads,
            "num_key_value_heads": shape.whole("num_key_value_heads", heads),
            "head_dim": shape.needed("qk_nope_head_dim"),
            "kv_lora_rank": shape.needed("kv_lora_rank"),
            "q_lora_rank": shape.whole("q_lora_rank", 0, least=0),
            "qk_rope_head_dim": shape.needed("qk_rope_head_dim"),
            "v_head_dim": shape.needed("v_head_dim"),
        }
    return {
        "num_attention_heads": heads,
        "num_key_value_heads": mixer.kv_heads,
        "head_dim": head_size(shape),
        "qkv_bias": shape.flag("attention_bias", family.biases.qkv),
    }


def _model(fields: dict[str, Any], layers: _Layers) -> Model:
    """A plain Model where its fields say all, else one with its groups of layers."""
    mixers, mlps = layers.groups
    full = Model(**fields, mixers=mixers or (), mlps=mlps)
    if not mixers or not mlps or not fields["num_attention_heads"]:
        return full
    try:
        plain = Model(**fields)
    except FleetError:
        return full
    alike = _same(plain.mixer_groups, mixers) and _same(plain.mlp_groups, mlps)
    return plain if alike else full


def _same(some: Sequence[object], others: Sequence[object]) -> bool:
    return len(some) == len(others) and set(some) == set(others)
