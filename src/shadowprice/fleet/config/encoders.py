"""Parameters of the encoders beside a decoder: vision and audio transformers, from their widths."""

from collections.abc import Mapping
from typing import Any

from shadowprice.fleet.config.shape import NESTED, object_in
from shadowprice.fleet.sections import Section

_WIDTHS = ("hidden_size", "embed_dim", "width", "d_model", "n_embd")
_LAYERS = ("num_hidden_layers", "depth", "layers", "encoder_layers", "n_layer")
_INNER = ("intermediate_size", "encoder_ffn_dim", "mlp_dim")


def encoder_parameters(config: Mapping[str, Any]) -> int:
    """Of plain transformers that see or hear, as far as the file gives their widths; projectors are not counted."""
    inner = next((object_in(config, key) for key in NESTED if isinstance(config.get(key), dict)), {})
    sources = [config, *([inner] if any(f"{kind}_config" in inner for kind in ("vision", "audio")) else [])]
    return sum(
        _transformer(Section(f"{kind}_config", object_in(source, f"{kind}_config")))
        for source in sources
        for kind in ("vision", "audio")
    )


def _transformer(section: Section) -> int:
    table = {k: v for k, v in section.table.items() if v is not None}
    section = Section(section.name, table)
    hidden, layers, inner = (next((k for k in names if k in table), "") for names in (_WIDTHS, _LAYERS, _INNER))
    if not hidden or not layers or isinstance(table[layers], list):
        return 0
    width = section.whole(hidden, 0)
    wide = section.whole(inner, 4 * width, least=0) if inner else int(section.number("mlp_ratio", 4.0) * width)
    return section.whole(layers, 0) * width * (4 * width + 2 * wide)
