"""How many bits each part of a checkpoint has, by its quantization_config.

A config names a method and, for some modules, exceptions: lists of those left alone, groups with formats of their own.
Every method is put into one form, `Format`s by patterns of module names; the bits of a part are then the mean over its
modules in all layers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shadowprice.errors import FleetError
from shadowprice.fleet.config.module_names import matches
from shadowprice.fleet.sections import Section

WHOLE = 16.0  # bits of what is not quantised, in all checkpoints that are
METHODS = (
    *("awq", "gptq", "fp8", "fbgemm_fp8", "compressed-tensors", "bitsandbytes", "auto-round", "quark", "modelopt"),
    *("mxfp4", "hqq", "eetq"),
)
# Methods that go by another name in some files.
_SAME = {
    "awq_marlin": "awq", "gptq_marlin": "gptq", "gptqmodel": "gptq", "auto_round": "auto-round",
    "autoround": "auto-round",
    "intel/auto-round": "auto-round", "inc": "auto-round", "compressed_tensors": "compressed-tensors",
    "modelopt_fp4": "modelopt", "modelopt_mixed": "modelopt", "bnb": "bitsandbytes", "fbgemm": "fbgemm_fp8",
}  # fmt: skip
# Algorithms of ModelOpt and TensorRT-LLM: label, bits of a weight with its scales.
_ALGORITHMS = {
    "FP8": ("fp8", 8.0), "FP8_PB_WO": ("fp8", 8.0), "FP8_PER_CHANNEL_PER_TOKEN": ("fp8", 8.0), "MXFP8": ("fp8", 8.25),
    "NVFP4": ("nvfp4", 4.5), "NVFP4_AWQ": ("nvfp4", 4.5), "W4A16_NVFP4": ("nvfp4", 4.5), "MXFP4": ("mxfp4", 4.25),
    "W4A16_AWQ": ("int4", 4.125), "W4A8_AWQ": ("int4", 4.125), "INT8": ("int8", 8.0),
    "W8A8_SQ_PER_CHANNEL": ("int8", 8.0),
    "W8A16": ("int8", 8.0), "W4A16": ("int4", 4.125), "FP4": ("nvfp4", 4.5),
}  # fmt: skip


@dataclass(frozen=True)
class Format:
    """A format of weights: its label (one of WEIGHT_BITS) and bits per weight, scales included."""

    label: str
    bits: float


@dataclass(frozen=True)
class Quantisation:
    """The format of a module is the first rule's whose pattern its name matches, `usual` without one.

    rules: (pattern, format), None where the module is left alone. head: whether the output head is quantised where no
    rule names it. experts_only: everything but the routed experts is left alone.
    """

    usual: Format
    rules: tuple[tuple[str, Format | None], ...] = ()
    head: bool = False
    experts_only: bool = False

    def bits(self, *names: str) -> float:
        """Bits per weight of a module that is known by these names."""
        for pattern, form in self.rules:
            if any(matches(pattern, name) for name in names):
                return WHOLE if form is None else form.bits
        return self.usual.bits


def quantisation(config: Mapping[str, Any]) -> Quantisation:
    """What a quantization_config says. Raises FleetError naming the field, what it says, and what is accepted."""
    section = Section("quantization_config", {k: v for k, v in config.items() if v is not None})
    method = section.text("quant_method", "").lower()
    method = _SAME.get(method, method)
    algorithm = section.text("quant_algo", None)
    if algorithm is not None or method == "modelopt":
        return _modelopt(section, algorithm)
    if section.table.get("config_groups"):
        return _groups(section)
    if method not in METHODS:
        found = section.text("quant_method", "missing")
        raise FleetError(f"quantization_config.quant_method is {found!r}; accepted: {', '.join(METHODS)}")
    if method == "compressed-tensors":
        raise FleetError("quantization_config.config_groups is missing; expected an object with the formats of weights")
    readers = {"quark": _quark, "auto-round": _auto_round, "bitsandbytes": _bitsandbytes, "hqq": _hqq, "gptq": _gptq}
    if method in readers:
        return readers[method](section)
    alone = _left_alone(section, "ignore", "ignored_layers", "modules_to_not_convert")
    if method == "awq":
        bits = section.whole("bits", section.whole("w_bit", 4))
        group = _group_size(section, section.whole("q_group_size", 128))
        return Quantisation(_whole_numbers(bits, group, "quantization_config.bits"), alone)
    if method == "mxfp4":
        return Quantisation(Format("mxfp4", 4.25), alone, experts_only=True)
    return Quantisation(Format("int8" if method == "eetq" else "fp8", 8.0), alone)


def _whole_numbers(bits: int, group: int, place: str) -> Format:
    """Whole numbers of so many bits with a 16-bit scale for each group of weights; group 0: one for each channel."""
    if not 2 <= bits <= 8:
        raise FleetError(f"{place} is {bits}; accepted: 2 to 8")
    scale = 16 / group if group else 0.0
    return Format("int4" if bits <= 4 else "int8", bits + (scale if bits < 8 else 0.0))


def _group_size(section: Section, usual: int) -> int:
    """Weights of a group; 0 where it is a whole channel, which files say with -1 or 0."""
    size = section.table.get("group_size", usual)
    if not isinstance(size, int) or isinstance(size, bool) or size < -1:
        raise FleetError(
            f"{section.place('group_size')} is {size!r}; expected a whole number >= 1, or -1 for a channel"
        )
    return max(size, 0)


def _left_alone(section: Section, *keys: str) -> tuple[tuple[str, Format | None], ...]:
    """Rules for the modules that a list names."""
    found: list[tuple[str, Format | None]] = []
    for key in keys:
        value = section.table.get(key) or []
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise FleetError(f"{section.place(key)} is {str(value)[:60]}; expected a list of module names")
        found += [(name, None) for name in value]
    return tuple(found)


def _groups(section: Section) -> Quantisation:
    """compressed-tensors: groups of targets, each with its weights' format; the first one's is the usual."""
    groups = section.table["config_groups"]
    if not isinstance(groups, dict):
        raise FleetError(f"quantization_config.config_groups is {str(groups)[:60]}; expected an object")
    rules: list[tuple[str, Format | None]] = list(_left_alone(section, "ignore"))
    forms: list[Format] = []
    usual: Format | None = None
    for name, group in groups.items():
        weights = group.get("weights") if isinstance(group, dict) else None
        place = f"quantization_config.config_groups.{name}.weights"
        form = _tensor_format(Section(place, weights if isinstance(weights, dict) else {}), section.text("format", ""))
        forms.append(form)
        targets = group.get("targets") or ["Linear"]
        if not isinstance(targets, list) or not all(isinstance(target, str) for target in targets):
            raise FleetError(
                f"quantization_config.config_groups.{name}.targets is {targets!r}; expected a list of names"
            )
        if "Linear" in targets:
            usual = usual or form
        rules += [(target, form) for target in targets if target != "Linear"]
    if usual is None:  # what no group names is left alone
        rules.append(("re:.*", None))
    return Quantisation(usual or forms[0], tuple(rules))


def _tensor_format(weights: Section, packing: str) -> Format:
    """Of one group of compressed-tensors, by bits, kind and group."""
    kind = (weights.table.get("num_bits"), weights.table.get("type", "int"))
    group = weights.table.get("group_size")
    group = group if isinstance(group, int) and not isinstance(group, bool) and group > 0 else 0
    if kind == (8, "float"):
        return Format("fp8", 8.0)
    if kind == (4, "float"):
        return Format("mxfp4", 4.25) if group == 32 or "mxfp4" in packing else Format("nvfp4", 4.5)
    if kind[1] == "int" and isinstance(kind[0], int) and 2 <= kind[0] <= 8:
        return _whole_numbers(kind[0], group, weights.place("num_bits"))
    raise FleetError(f"{weights.name} are of {kind}; accepted: 2 to 8 bits of type int, 4 or 8 of type float")


def _modelopt(section: Section, algorithm: str | None) -> Quantisation:
    """ModelOpt: one algorithm for all, or MIXED_PRECISION with one for each layer."""
    inner = section.table.get("quantization")
    if algorithm is None and isinstance(inner, dict):
        section = Section("quantization_config.quantization", inner)
        algorithm = section.text("quant_algo", None)
    alone = _left_alone(section, "ignore", "exclude_modules")
    if algorithm is not None and algorithm.upper() == "MIXED_PRECISION":
        layers = section.table.get("quantized_layers")
        if not isinstance(layers, dict) or not layers:
            raise FleetError(f"{section.place('quantized_layers')} is {layers!r}; expected an object of layers")
        rules = [(name, _algorithm(Section(f"{name}", dict(layer)))) for name, layer in layers.items()]
        most = max((form for _, form in rules), key=[form for _, form in rules].count)
        return Quantisation(most, (*alone, *rules, ("re:.*", None)))
    return Quantisation(_algorithm(section), alone)


def _algorithm(section: Section) -> Format:
    word = section.text("quant_algo", "missing")
    if word.upper() not in _ALGORITHMS:
        raise FleetError(f"{section.place('quant_algo')} is {word!r}; accepted: {', '.join(_ALGORITHMS)}")
    label, bits = _ALGORITHMS[word.upper()]
    if label == "int4" and "group_size" in section:
        return _whole_numbers(4, _group_size(section, 128), section.place("quant_algo"))
    return Format(label, bits)


def _quark(section: Section) -> Quantisation:
    """Quark: a global format, others for layers that patterns name, and a list of those left alone."""
    usual = _quark_format(section, section.table.get("global_quant_config"), "global_quant_config")
    own = section.table.get("layer_quant_config") or {}
    if not isinstance(own, dict):
        raise FleetError(f"quantization_config.layer_quant_config is {own!r}; expected an object")
    rules = [(name, _quark_format(section, found, f"layer_quant_config.{name}")) for name, found in own.items()]
    return Quantisation(usual, (*_left_alone(section, "exclude"), *rules))


def _quark_format(section: Section, config: Any, key: str) -> Format:
    weight = config.get("weight") if isinstance(config, dict) else None
    weight = weight[0] if isinstance(weight, list) and weight else weight
    if not isinstance(weight, dict):
        raise FleetError(f"{section.place(key)}.weight is {weight!r}; expected an object with the weights' dtype")
    word, inner = str(weight.get("dtype")), Section(section.place(key), weight)
    if word.startswith("fp8"):
        return Format("fp8", 8.0)
    if word in ("fp4", "mx", "mxfp4", "fp6_e2m3", "fp6_e3m2"):
        return Format("mxfp4", 4.25) if not word.startswith("fp6") else Format("int8", 6.25)
    if word in ("int4", "uint4", "int8", "uint8"):
        return _whole_numbers(
            int(word[-1]), _group_size(inner, 0) if weight.get("group_size") else 0, section.place(key)
        )
    raise FleetError(f"{section.place(key)}.weight.dtype is {word!r}; accepted: fp8_e4m3, fp4, int4, uint4, int8")


def _auto_round(section: Section) -> Quantisation:
    """AutoRound: bits and group for all, others for the layers in extra_config; 16 bits or more leave one alone."""
    kind = section.text("data_type", "int")
    usual = _auto_round_format(section, kind, None)
    own = section.table.get("extra_config") or {}
    if not isinstance(own, dict):
        raise FleetError(f"quantization_config.extra_config is {own!r}; expected an object")
    rules = []
    for name, found in own.items():
        layer = Section(f"quantization_config.extra_config.{name}", found if isinstance(found, dict) else {})
        bits = layer.whole("bits", 16)
        rules.append((name, None if bits >= 16 else _auto_round_format(layer, kind, section)))
    return Quantisation(usual, tuple(rules))


def _auto_round_format(section: Section, kind: str, outer: Section | None) -> Format:
    bits = section.whole("bits", 4)
    group = _group_size(section, _group_size(outer, 128) if outer is not None else 128)
    kind = section.text("data_type", kind)
    if "fp" in kind:
        if bits == 8:
            return Format("fp8", 8.0)
        return Format("nvfp4", 4.5) if kind.startswith("nv") else Format("mxfp4", 4.25)
    return _whole_numbers(bits, group, section.place("bits"))


def _gptq(section: Section) -> Quantisation:
    """GPTQ: bits and group for all; `dynamic` leaves modules alone ("-:") or gives them bits of their own."""
    group = _group_size(section, 128)
    usual = _whole_numbers(section.whole("bits", 4), group, "quantization_config.bits")
    rules: list[tuple[str, Format | None]] = list(_left_alone(section, "modules_to_not_convert"))
    for name, found in (section.table.get("dynamic") or {}).items():
        own = Section("quantization_config.dynamic", found if isinstance(found, dict) else {})
        bits = own.whole("bits", section.whole("bits", 4))
        form = None if name.startswith("-:") else _whole_numbers(bits, _group_size(own, group), own.place("bits"))
        rules.append((f"re:{name[2:] if name[:2] in ('-:', '+:') else name}", form))
    return Quantisation(usual, tuple(rules), head=section.flag("lm_head", False))


def _bitsandbytes(section: Section) -> Quantisation:
    """bitsandbytes: 4 bits with a 32-bit scale for 64 weights (in 8 bits where quantised twice), or 8 bits."""
    alone = _left_alone(section, "llm_int8_skip_modules")
    if section.flag("load_in_8bit", section.flag("_load_in_8bit", False)):
        return Quantisation(Format("int8", 8.0), alone)
    if not section.flag("load_in_4bit", section.flag("_load_in_4bit", False)):
        raise FleetError(
            "quantization_config has neither load_in_4bit nor load_in_8bit; expected one of them to be true"
        )
    twice = section.flag("bnb_4bit_use_double_quant", False)
    return Quantisation(Format("int4", 4 + (8 / 64 + 32 / (64 * 256) if twice else 32 / 64)), alone)


def _hqq(section: Section) -> Quantisation:
    """HQQ: bits and group in weight_quant_params, a 16-bit scale and a 16-bit zero for each group."""
    inner = section.table.get("quant_config")
    found = inner.get("weight_quant_params") if isinstance(inner, dict) else None
    weights = Section("quantization_config.quant_config.weight_quant_params", found if isinstance(found, dict) else {})
    bits, group = weights.whole("nbits", 4), _group_size(weights, 64)
    form = _whole_numbers(bits, group, weights.place("nbits"))
    zero = 16 / group if group else 0.0
    return Quantisation(Format(form.label, bits + 2 * zero), _left_alone(section, "skip_modules"))
