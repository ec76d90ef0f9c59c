"""MLPs of every form: dense, experts, shared experts, and which layers have which."""

from dataclasses import dataclass, replace

from shadowprice.errors import FleetError
from shadowprice.fleet.config.shape import Shape
from shadowprice.fleet.layers import Mlp

SPARSE = {"sparse": True, "moe": True, "dense": False, "mlp": False}
EXPERTS = ("num_experts", "n_routed_experts", "num_local_experts")


@dataclass(frozen=True)
class MlpForm:
    """What a type's MLPs are, where the file does not say.

    matrices: 3 for a gated MLP, 2 for a plain one. shared_experts: shared experts of each layer, of an expert's width.
    residual: so many dense MLPs stand
    beside the experts of a layer that has any (unless residual_moe is false). inner: the plain width in hidden sizes.
    halved: the file's width is that of gate and up projection together.
    """

    matrices: int = 3
    shared_experts: int = 0
    residual: int = 0
    inner: int = 4
    halved: bool = False


def mlp_layers(shape: Shape, form: MlpForm, layers: int, has: list[bool]) -> list[Mlp | None]:
    """The MLP of every layer, None where it has none; `has`: which layers of the type have one at all."""
    hidden, experts = shape.needed("hidden_size"), _experts(shape)
    if not any(has):
        return [None] * layers
    sparse = sparse_layers(shape, layers)
    if experts <= 1:
        if shape.given & set(EXPERTS):  # the file says that there are none, so what it says of them counts for nothing
            shape.note(
                "num_experts_per_tok", "moe_intermediate_size", "n_shared_experts", "shared_expert_intermediate_size"
            )
        widths = _widths(shape, form, layers)
        return [dense(form, hidden, width) if here else None for here, width in zip(has, widths, strict=True)]
    routed = _routed(shape, form, experts, layers)
    residual = form.residual if shape.flag("residual_moe", True) else 0
    needs = residual > 0 or any(here and not with_experts for here, with_experts in zip(has, sparse, strict=True))
    widths = _dense_widths(shape, form, layers) if needs else [0] * layers
    found: list[Mlp | None] = []
    for i in range(layers):
        if not has[i]:
            found.append(None)
        elif not sparse[i]:
            found.append(dense(form, hidden, widths[i]))
        else:
            found.append(_with_dense(routed[i], form, hidden, residual * widths[i]) if residual else routed[i])
    return found


def dense(form: MlpForm, hidden: int, width: int) -> Mlp | None:
    """A dense MLP of that width, none where it has no width."""
    return Mlp(1, form.matrices * hidden * width, width=width) if width else None


def _with_dense(mlp: Mlp, form: MlpForm, hidden: int, width: int) -> Mlp:
    """Dense MLPs, together that wide, beside the experts."""
    shared = mlp.shared_parameters + form.matrices * hidden * width
    return replace(mlp, shared_parameters=shared, width=mlp.width + width)


def _experts(shape: Shape) -> int:
    """Routed experts of a layer; the largest where layers differ."""
    found = [0]
    for key in EXPERTS:
        value = shape.table.get(key)
        found += shape.wholes(key, len(value)) if isinstance(value, list) else [shape.whole(key, 0, least=0)]
    return max(found)


def _routed(shape: Shape, form: MlpForm, experts: int, layers: int) -> list[Mlp]:
    """The MLP with experts that every layer would have."""
    hidden = shape.needed("hidden_size")
    per_token = _per_layer(shape, "num_experts_per_tok", layers, None)
    widths = _per_layer(shape, "moe_intermediate_size", layers, shape.whole("intermediate_size", 0, least=0) or None)
    shared = _shared_widths(shape, form, widths, layers)
    found = []
    for top, width, beside in zip(per_token, widths, shared, strict=True):
        if not 0 < top <= experts:
            raise FleetError(
                f"{shape.place('num_experts_per_tok')} is {top}; expected 1 to {experts}, the number of experts"
            )
        found.append(
            Mlp(
                count=1,
                parameters=hidden * experts,
                shared_parameters=form.matrices * hidden * beside,
                num_experts=experts,
                expert_parameters=form.matrices * (shape.whole("moe_latent_size", 0, least=0) or hidden) * width,
                num_experts_per_tok=top,
                width=top * width + beside,
            )
        )
    return found


def _shared_widths(shape: Shape, form: MlpForm, widths: list[int], layers: int) -> list[int]:
    """How wide the shared experts of every layer are together."""
    counts = _per_layer(shape, "n_shared_experts", layers, form.shared_experts)
    if "shared_expert_intermediate_size" in shape:
        each = _per_layer(shape, "shared_expert_intermediate_size", layers, 0)
        return [max(1, count) * width for count, width in zip(counts, each, strict=True)]
    return [count * width for count, width in zip(counts, widths, strict=True)]


def _per_layer(shape: Shape, key: str, layers: int, usual: int | None) -> list[int]:
    """A number for each layer; `usual` where the file has none, None: it must be there."""
    if key not in shape and usual is not None:
        shape.table.get(key)
        return [usual] * layers
    return shape.wholes(key, layers)


def _widths(shape: Shape, form: MlpForm, layers: int) -> list[int]:
    """Of the dense MLP of every layer; by the hidden size where the file is silent."""
    if "intermediate_size" not in shape:
        return [form.inner * shape.needed("hidden_size")] * layers
    widths = shape.wholes("intermediate_size", layers)
    return [w // 2 for w in widths] if form.halved else widths


def _dense_widths(shape: Shape, form: MlpForm, layers: int) -> list[int]:
    """Of the dense MLPs in a model with experts, which some files call otherwise."""
    given = shape.whole("dense_intermediate_size", 0, least=0)
    if given:
        return [given] * layers
    if "intermediate_size" not in shape:
        shape.needed("intermediate_size")
    return _widths(shape, form, layers)


def sparse_layers(shape: Shape, layers: int) -> list[bool]:
    """Which layers have experts: by a list of words, of flags or of numbers, or by first, last, interval and offset."""
    shape.note("moe_layer_freq", "decoder_sparse_step", "interleave_moe_layer_step", "moe_layers", "mlp_only_layers")
    shape.note("first_k_dense_replace", "moe_layer_end_index", "expert_layer_offset", "dense_intermediate_size")
    words = shape.entries("mlp_layer_types")
    if words:
        if len(words) < layers or any(word not in SPARSE for word in words):
            raise FleetError(
                f"{shape.place('mlp_layer_types')} is {str(words)[:60]}; expected {layers} of {', '.join(SPARSE)}"
            )
        return [SPARSE[word] for word in words[:layers]]
    if isinstance(shape.table.get("moe_layer_freq"), list):
        flags = shape.wholes("moe_layer_freq", layers)
        return [flag == 1 for flag in flags]
    if shape.table.get("moe_layers"):
        chosen = _numbers(shape, "moe_layers")
        return [i in chosen for i in range(layers)]
    step = 1
    for key in ("moe_layer_freq", "decoder_sparse_step", "interleave_moe_layer_step"):
        step = shape.whole(key, step, least=0) or layers + 1  # 0: no layer has experts
    first = shape.whole("first_k_dense_replace", 0, least=0)
    last = shape.whole("moe_layer_end_index", layers - 1, least=-1)
    without = set(_numbers(shape, "mlp_only_layers"))
    usual = 0 if "moe_layer_freq" in shape else step - 1  # DeepSeek counts from the first layer, others from the last
    offset = shape.whole("expert_layer_offset", usual, least=0)
    last = layers - 1 if last < 0 else last
    return [first <= i <= last and i % step == offset % step and i not in without for i in range(layers)]


def _numbers(shape: Shape, key: str) -> list[int]:
    """A list of layer numbers, also as text with commas."""
    value = shape.table.get(key) or []
    if isinstance(value, str):
        parts = value.split(",")
        if not all(part.strip().isdigit() for part in parts):
            raise FleetError(f"{shape.place(key)} is {value[:60]!r}; expected layer numbers with commas between them")
        return [int(part) for part in parts]
    if not isinstance(value, list):
        raise FleetError(f"{shape.place(key)} is {value!r}; expected a list")
    if any(not isinstance(i, int) or isinstance(i, bool) for i in value):
        raise FleetError(f"{shape.place(key)} is {str(value)[:60]}; expected a list of layer numbers")
    return value
