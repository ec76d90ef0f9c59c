"""The weight format that a Hugging Face checkpoint says it has."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shadowprice.errors import FleetError
from shadowprice.fleet.sections import Section

# Words for weight formats: torch's names, quant_method and quant_algo of the quantisation tools.
_FORMATS = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "half": "fp16",
    "float32": "fp32",
    "fp8": "fp8",
    "fbgemm_fp8": "fp8",
    "fp8_pb_wo": "fp8",
    "fp8_per_channel_per_token": "fp8",
    "nvfp4": "nvfp4",
    "modelopt_fp4": "nvfp4",
    "mxfp4": "mxfp4",
    "w4a16_awq": "int4",
    "w8a8_sq_per_channel": "int8",
}
_BY_BITS = {(8, "float"): "fp8", (8, "int"): "int8", (4, "float"): "nvfp4", (4, "int"): "int4"}


def weight_format(config: Mapping[str, Any], decoder: Mapping[str, Any]) -> str:
    """Format of the weights, one of WEIGHT_BITS: the quantisation's where there is one, else torch's; bf16 unsaid.

    Raises FleetError naming the field and the words that are accepted.
    """
    quantisation = decoder.get("quantization_config") or config.get("quantization_config")
    if quantisation:
        if not isinstance(quantisation, dict):
            raise FleetError(f"quantization_config is {quantisation!r}; expected an object")
        return _quantised(Section("quantization_config", quantisation))
    words = Section("", {**config, **decoder})
    for key in ("dtype", "torch_dtype"):
        word = words.text(key, None)
        if word is not None:
            return _known(key, word.removeprefix("torch."))
    return "bf16"


def _quantised(quantisation: Section) -> str:
    """By tool's algorithm, by the bits of the first group of layers, or by method."""
    algorithm = quantisation.text("quant_algo", None)
    if algorithm is not None:
        return _known("quantization_config.quant_algo", algorithm)
    groups = quantisation.table.get("config_groups")
    if isinstance(groups, dict) and groups:
        first = next(iter(groups.values()))
        weights = first.get("weights") if isinstance(first, dict) else None
        kind = (weights.get("num_bits"), weights.get("type")) if isinstance(weights, dict) else None
        if str(kind) not in map(str, _BY_BITS):
            raise FleetError(f"quantization_config.config_groups has weights of {kind}; accepted: {list(_BY_BITS)}")
        return _BY_BITS[kind]  # type: ignore[index]
    method = quantisation.text("quant_method", "")
    if method in ("awq", "gptq"):
        bits = quantisation.whole("bits", quantisation.whole("w_bit", 4))
        return {4: "int4", 8: "int8"}.get(bits) or _known("quantization_config.bits", str(bits))
    return _known("quantization_config.quant_method", method)


def _known(place: str, word: str) -> str:
    if word.lower() not in _FORMATS:
        raise FleetError(f"{place} is {word!r}; accepted: {', '.join(_FORMATS)}")
    return _FORMATS[word.lower()]


def sidecar_quantisation(folder: Path) -> dict[str, Any] | None:
    """What the hf_quant_config.json beside a config.json says, in the form of a quantization_config; None without."""
    path = folder / "hf_quant_config.json"
    if not path.is_file():
        return None
    try:
        algorithm = json.loads(path.read_bytes())["quantization"]["quant_algo"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FleetError(f"{path}: no quantization.quant_algo: {error!r}; expected the file ModelOpt writes") from None
    return {"quant_algo": algorithm} if algorithm else None
