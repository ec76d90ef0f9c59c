"""Names of a checkpoint's modules, and the patterns by which quantisation configs mean them."""

import re
from fnmatch import fnmatchcase

from shadowprice.errors import FleetError

PREFIXES = ("model.layers", "language_model.model.layers", "model.language_model.layers", "backbone.layers")
_PROJECTIONS = ("gate_proj", "up_proj", "down_proj")
_ATTENTION = {
    "self_attn": ("q_proj", "k_proj", "v_proj", "o_proj"), "linear_attn": ("in_proj_qkvz", "out_proj"),
    "mamba": ("in_proj", "out_proj"), "mixer": ("in_proj", "out_proj"),
}  # fmt: skip
# Other names of the same module, so that a pattern for either finds it.
_ALSO = {
    "mlp.gate_proj": ("mlp.gate_up_proj", "feed_forward.gate_proj"),
    "mlp.up_proj": ("mlp.gate_up_proj", "feed_forward.up_proj"),
    "mlp.down_proj": ("feed_forward.down_proj",),
    "self_attn.q_proj": ("self_attn.qkv_proj", "self_attn.q_a_proj"),
    "self_attn.k_proj": ("self_attn.qkv_proj", "self_attn.kv_a_proj_with_mqa"),
    "self_attn.v_proj": ("self_attn.qkv_proj", "self_attn.kv_b_proj"),
}


def modules(part: str, layer: int, mixer: str = "self_attn") -> list[list[str]]:
    """The modules of a part (one of Model's PARTS) in one layer; each by all names that it may have."""
    if part == "attention":
        inner = [f"{mixer}.{name}" for name in _ATTENTION[mixer]]
    elif part == "mlp":
        inner = [f"mlp.{name}" for name in _PROJECTIONS]
    elif part == "shared_experts":
        inner = [f"mlp.shared_experts.{name}" for name in _PROJECTIONS]
    else:
        inner = [f"mlp.experts.0.{name}" for name in _PROJECTIONS]
    return [[f"{prefix}.{layer}.{name}" for prefix in PREFIXES for name in _names(one)] for one in inner]


def _names(name: str) -> list[str]:
    """All names of one module."""
    found = [name, *_ALSO.get(name, ())]
    if "shared_experts" in name:
        found += [name.replace("shared_experts", "shared_expert"), name.replace("mlp.shared_experts", "shared_mlp")]
    if ".experts.0." in name:
        found += [
            name.rpartition(".0.")[0],
            name.replace("mlp.", "block_sparse_moe."),
            name.replace("mlp.", "feed_forward."),
        ]
    return found


def matches(pattern: str, name: str) -> bool:
    """Whether a pattern means this module: a regular expression after "re:", shell wildcards, or a part of the name."""
    if pattern.startswith("re:"):
        try:
            return re.match(pattern[3:], name) is not None
        except (re.error, RecursionError, OverflowError) as error:
            raise FleetError(f"quantization_config has the pattern {pattern[:60]!r}: {error}") from None
    if "*" in pattern or "?" in pattern:
        return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*") or fnmatchcase(name, f"*.{pattern}")
    return f".{pattern}." in f".{name}."
