"""Model shapes from a Hugging Face config.json."""

import json
from pathlib import Path

from shadowprice.errors import FleetError
from shadowprice.fleet.config.checkpoint import sidecar_quantisation
from shadowprice.fleet.config.decoder import model_from_config
from shadowprice.fleet.models import Model

__all__ = ["model_from_config", "read_model"]


def read_model(path: str | Path) -> Model:
    """Read the shape of a decoder from its config.json.

    Every model_type of `config/families.py` is read by its own rules: grouped and latent attention, windows, experts,
    states, and layers of several kinds. A type that stands there nowhere, or a field that says something of the layers
    and that its type is not known to have, is refused. Of a model that also sees or hears, the decoder and plain
    encoders are counted.

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
    try:
        beside = sidecar_quantisation(path.parent)
        if beside and not config.get("quantization_config"):
            config["quantization_config"] = beside
        return model_from_config(config, name=path.absolute().parent.name or path.stem)
    except FleetError as error:
        raise FleetError(f"{path}: {error}") from None
