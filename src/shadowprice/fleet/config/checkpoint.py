"""The format of a checkpoint's weights: one label for all, and bits for the parts that differ from it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shadowprice.errors import FleetError
from shadowprice.fleet.config.module_names import modules
from shadowprice.fleet.config.quantisation import WHOLE, Quantisation, quantisation
from shadowprice.fleet.models import Model
from shadowprice.fleet.sections import Section

_WORDS = {
    "bfloat16": "bf16", "float16": "fp16", "half": "fp16", "float32": "fp32", "float8_e4m3fn": "fp8", "auto": "bf16",
}  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """Which modules a layer has: the name of its mixer's module ("" without one), and whether its MLP has experts."""

    mixer: str
    sparse: bool
    dense: bool


def read_quantisation(config: Mapping[str, Any], decoder: Mapping[str, Any]) -> Quantisation | None:
    """What the quantization_config of the file or of its decoder says; None without one."""
    for key in ("quantization_config", "compression_config"):
        found = decoder.get(key) or config.get(key)
        if found:
            if not isinstance(found, dict):
                raise FleetError(f"{key} is {found!r}; expected an object")
            return quantisation(found)
    return None


def weight_format(config: Mapping[str, Any], decoder: Mapping[str, Any], found: Quantisation | None) -> str:
    """One of WEIGHT_BITS: the quantisation's where there is one, else torch's; bf16 where the file is silent."""
    if found is not None:
        return found.usual.label
    words = Section("", {k: v for k, v in {**config, **decoder}.items() if v is not None})
    for key in ("dtype", "torch_dtype"):
        word = words.text(key, None)
        if word is not None:
            word = word.removeprefix("torch.")
            if word not in _WORDS:
                raise FleetError(f"{key} is {word!r}; accepted: {', '.join(_WORDS)}")
            return _WORDS[word]
    return "bf16"


def part_bits(model: Model, found: Quantisation, layers: Sequence[Layer]) -> tuple[tuple[str, float], ...]:
    """Bits of the parts that differ from what the model's dtype says, each the mean over the layers' modules."""
    usual, parts = model.bits(), model.parts
    said = {
        "attention": _mean(
            found, [m for i, layer in enumerate(layers) if layer.mixer for m in modules("attention", i, layer.mixer)]
        ),
        "mlp": _mean(found, [m for i, layer in enumerate(layers) if layer.dense for m in modules("mlp", i)]),
        "shared_experts": _mean(
            found, [m for i, layer in enumerate(layers) if layer.sparse for m in modules("shared_experts", i)]
        ),
        "experts": _mean(found, [m for i, layer in enumerate(layers) if layer.sparse for m in modules("experts", i)]),
        "head": found.bits("lm_head") if found.head or _named(found, "lm_head") else WHOLE,
        "router": WHOLE if found.rules or found.experts_only else usual["router"],
    }
    if found.experts_only:
        said |= dict.fromkeys(("attention", "mlp", "shared_experts", "head"), WHOLE)
    return tuple(
        (part, bits) for part, bits in said.items() if parts[part] and bits is not None and bits != usual[part]
    )


def _named(found: Quantisation, module: str) -> bool:
    """Whether a rule names the module and gives it a format."""
    return any(pattern.split(".")[-1] == module and form is not None for pattern, form in found.rules)


def _mean(found: Quantisation, names: list[list[str]]) -> float | None:
    return sum(found.bits(*each) for each in names) / len(names) if names else None


def sidecar_quantisation(folder: Path) -> dict[str, Any] | None:
    """What the hf_quant_config.json beside a config.json says, in the form of a quantization_config; None without."""
    path = folder / "hf_quant_config.json"
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_bytes())["quantization"]
        algorithm = found["quant_algo"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FleetError(f"{path}: no quantization.quant_algo: {error!r}; expected the file ModelOpt writes") from None
    return dict(found) if algorithm else None
