"""Fleet files: one TOML file describes a fleet (docs/fleet.md has every key)."""

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, replace
from pathlib import Path
from typing import Any

from shadowprice.errors import FleetError
from shadowprice.fleet.derive import STEP_TIME_SOURCES, kept_by, kv_tokens_that_fit, read_by, step_time_from
from shadowprice.fleet.engine_limits import default_limits
from shadowprice.fleet.fleet import Fleet
from shadowprice.fleet.gpus import GPUS, Gpu, gpu_by_name
from shadowprice.fleet.layer_sections import LAYERS, given_layers
from shadowprice.fleet.layers import Mixer, Mlp
from shadowprice.fleet.model_config import read_model
from shadowprice.fleet.model_presets import MODELS, model_by_name
from shadowprice.fleet.models import Model
from shadowprice.fleet.names import did_you_mean
from shadowprice.fleet.sections import Section, open_sections
from shadowprice.fleet.step_time import StepTime
from shadowprice.fleet.token_curve import TokenCurve
from shadowprice.fleet.worker import Worker

PRESETS: dict[str, Path] = {path.stem: path for path in sorted((Path(__file__).parent / "presets").glob("*.toml"))}

_STEP_TIME = [f.name for f in fields(StepTime)]
_CURVES = ("kept", "read")
_LIMITS = {f.name: f.type for f in fields(Worker) if f.name not in ("step_time", *_CURVES)}


def read_fleet(path_or_preset: str | Path) -> Fleet:
    """Read a fleet from a TOML file, or one of PRESETS by its name.

    Parameters
    ----------
    path_or_preset : str or Path
        A file (docs/fleet.md has every key) or a name of `shadowprice fleet list`.

    Returns
    -------
    Fleet
        With what follows from its GPU and model worked out.

    Raises
    ------
    FleetError
        Naming file, key, what was found and what is accepted.

    Examples
    --------
    >>> import shadowprice as sp
    >>> sp.read_fleet("llama-3.1-70b-h100-tp4").gpus_per_worker
    4
    """
    preset = PRESETS.get(str(path_or_preset).lower())
    path = preset or Path(path_or_preset)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        known = did_you_mean(str(path_or_preset), PRESETS)
        raise FleetError(f"{path_or_preset}: neither a file nor a preset; {known}") from None
    except (OSError, ValueError) as error:
        raise FleetError(f"{path_or_preset}: cannot be read: {error}") from None
    try:
        document = tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise FleetError(f"{path}: not UTF-8 text at byte {error.start}; expected a TOML file") from None
    except (ValueError, RecursionError) as error:
        raise FleetError(f"{path}: not TOML: {error}") from None
    try:
        return fleet_from(document, path.parent, path.stem)
    except FleetError as error:
        raise FleetError(f"{path}: {error}") from None


def write_fleet(fleet: Fleet, path: str | Path) -> None:
    """Write the TOML file that `read_fleet` reads back as the same fleet.

    Parameters
    ----------
    fleet : Fleet
        What to write, every limit and coefficient.
    path : str or Path
        Where to.

    Raises
    ------
    FleetError
        When it cannot be written.
    """
    try:
        Path(path).write_text(fleet_toml(fleet), encoding="utf-8")
    except OSError as error:
        raise FleetError(f"{path}: cannot be written: {error}") from None


def fleet_toml(fleet: Fleet) -> str:
    """The TOML text of a fleet, every limit and coefficient written out."""
    import tomlkit  # needed for writing only

    document = tomlkit.document()
    document.update({"name": fleet.name, "workers": fleet.workers})
    if fleet.model is not None:
        document["model"] = _shape(fleet.model, MODELS.get(fleet.model.name))
    if fleet.gpu is not None:
        document["gpu"] = _shape(fleet.gpu, GPUS.get(fleet.gpu.name))
    engine = ("tensor_parallel_size", "gpu_memory_utilization", "kv_cache_dtype")
    document["worker"] = {k: getattr(fleet, k) for k in engine} | {k: getattr(fleet.worker, k) for k in _LIMITS}
    for name in _CURVES:
        curve = getattr(fleet.worker, name)
        if curve is not None:
            document["worker"][name] = asdict(curve)
        elif name == "kept" and fleet.model is not None and kept_by(fleet) is not None:
            document["worker"][name] = False
    coefficients = {k: getattr(fleet.worker.step_time, k) for k in _STEP_TIME}
    document["step_time"] = {"source": "given", "note": fleet.step_time_note, **coefficients}
    power = {"idle_power_w": fleet.idle_power_w, "peak_power_w": fleet.peak_power_w}
    if any(watts is not None for watts in power.values()):
        document["power"] = {k: watts for k, watts in power.items() if watts is not None}
    return tomlkit.dumps(document)


def _shape(thing: Any, preset: Any) -> dict[str, Any]:
    """A GPU or model as a section: its name where that says all, every field otherwise."""
    if thing == preset:
        return {"name": thing.name}
    values = {f.name: getattr(thing, f.name) for f in fields(thing) if getattr(thing, f.name) not in (None, ())}
    for name in LAYERS.keys() & values.keys():
        values[name] = [_said(group) for group in values[name]]
    return values | ({"part_bits": dict(values["part_bits"])} if "part_bits" in values else {})


def _said(group: Mixer | Mlp) -> dict[str, Any]:
    """The fields of a group of layers that are not what they are by default."""
    return {f.name: getattr(group, f.name) for f in fields(group) if getattr(group, f.name) != f.default}


def fleet_from(document: Mapping[str, Any], folder: Path, name: str) -> Fleet:
    """The fleet that a parsed TOML file describes; paths in it start from `folder`, `name` is used where it has none.

    Raises FleetError naming key, what was found and what is accepted.
    """
    top, sections = open_sections(document, ("model", "gpu", "worker", "step_time", "power"))
    top.only("name", "workers")
    worker, power = sections["worker"], sections["power"]
    power.only("idle_power_w", "peak_power_w")
    worker.only(
        "tensor_parallel_size", "gpu_memory_utilization", "kv_cache_dtype", "context_tokens", *_LIMITS, *_CURVES
    )
    gpu = _gpu(sections["gpu"])
    draft = Fleet(
        name=top.text("name", name),
        # The step time and the KV tokens may follow from the rest, so they come last.
        worker=Worker(StepTime(1.0, 0.0, 0.0, 0.0), **_limits(worker, gpu)),
        workers=top.whole("workers", 1),
        gpu=gpu,
        model=_model(sections["model"], folder),
        tensor_parallel_size=worker.whole("tensor_parallel_size", 1),
        gpu_memory_utilization=worker.number("gpu_memory_utilization", 0.9),
        kv_cache_dtype=worker.text("kv_cache_dtype", "bf16"),
        idle_power_w=power.number("idle_power_w", None),
        peak_power_w=power.number("peak_power_w", None),
    )
    context_tokens = worker.whole("context_tokens", None)
    curves = _curves(worker, draft, sections["step_time"], context_tokens)
    draft = replace(draft, worker=replace(draft.worker, **curves))
    step_time, note = _step_time(sections["step_time"], draft)
    kv_tokens = worker.whole("kv_tokens", None)
    if kv_tokens is None:
        kv_tokens = kv_tokens_that_fit(draft, context_tokens)
    return replace(draft, worker=replace(draft.worker, step_time=step_time, kv_tokens=kv_tokens), step_time_note=note)


def _curves(worker: Section, fleet: Fleet, step_time: Section, context_tokens: int | None) -> dict[str, Any]:
    """What sequences keep and steps read: as given, else as the model's layers do.

    Not where context_tokens has made kv_tokens those of one length, nor of given coefficients, whose KV tokens are
    plain tokens unless the file says otherwise.
    """
    found: dict[str, Any] = {}
    for name in _CURVES:
        given = worker.table.get(name)
        if isinstance(given, dict):
            section = Section(f"worker.{name}", given)
            section.only(*(f.name for f in fields(TokenCurve)))
            found[name] = TokenCurve(**_given(section, {f.name: f.type for f in fields(TokenCurve)}))
        elif given is not None and given is not False:
            raise FleetError(f"worker.{name} is {given!r}; expected a table, or false for plain tokens")
    if fleet.model is None:
        return found
    if "kept" not in worker and context_tokens is None:
        found["kept"] = kept_by(fleet)
    given_times = any(k in step_time for k in _STEP_TIME)
    if "read" not in worker and not given_times and step_time.text("source", "roofline") == "roofline":
        found["read"] = read_by(fleet)
    return found


def _limits(worker: Section, gpu: Gpu | None) -> dict[str, Any]:
    """The limits in the file, and vLLM's own on this GPU for those that it leaves out."""
    given = _given(worker, _LIMITS)
    usual = default_limits(gpu, given.get("max_num_batched_tokens"))
    return {"max_num_seqs": usual.max_num_seqs, "max_num_batched_tokens": usual.max_num_batched_tokens} | given


def _gpu(section: Section) -> Gpu | None:
    if not section:
        return None
    types = {f.name: f.type for f in fields(Gpu)}
    section.only(*types)
    given = _given(section, types)
    if all(f.name in given for f in fields(Gpu) if f.default is MISSING and f.name != "fp8_flops_per_s"):
        return Gpu(**{"fp8_flops_per_s": None, **given})
    if "name" not in given:
        raise FleetError(f"gpu.name is missing; accepted: {', '.join(GPUS)}, or every key of a GPU of your own")
    return replace(gpu_by_name(given.pop("name")), **given)


def _model(section: Section, folder: Path) -> Model | None:
    if not section:
        return None
    types = {f.name: f.type for f in fields(Model) if f.name not in LAYERS and f.name != "part_bits"}
    section.only(*types, *LAYERS, "part_bits", "config")
    given = _given(section, types) | given_layers(section)
    config = section.text("config", None)
    if config is None and all(f.name in given for f in fields(Model) if f.default is MISSING):
        return Model(**given)
    if config is None and "name" not in given:
        raise FleetError('model.name is missing; expected a preset\'s name, or config = "path to config.json"')
    known = read_model(folder / config) if config is not None else model_by_name(given.pop("name"))
    if "dtype" in given and "part_bits" not in given:
        given["part_bits"] = ()  # a format of one's own is one for all parts
    return replace(known, **given)


def _given(section: Section, types: Mapping[str, Any]) -> dict[str, Any]:
    """The section's values for the fields of a dataclass, each read by the field's type."""
    return {k: _value(section, k, types[k]) for k in section.table if k in types}


def _value(section: Section, key: str, kind: Any) -> str | bool | float | None:
    if kind is str:
        return section.text(key, None)
    if kind is bool:
        return section.flag(key, None)
    return section.whole(key, None, least=0) if kind is int else section.number(key, None)


def _step_time(section: Section, fleet: Fleet) -> tuple[StepTime, str]:
    section.only("source", "note", "backend", *_STEP_TIME)
    given = [k for k in _STEP_TIME if k in section]
    source = section.text("source", "given" if given else "roofline")
    if source not in STEP_TIME_SOURCES:
        raise FleetError(f"step_time.source is {source!r}; {did_you_mean(source, STEP_TIME_SOURCES)}")
    if "backend" in section and source != "measured":
        raise FleetError(f"step_time.backend is given, but step_time.source is {source!r}; it belongs to 'measured'")
    if source != "given":
        if given:
            raise FleetError(f"step_time.{given[0]} is given, but step_time.source is {source!r}; keep one of the two")
        step_time, note = step_time_from(source, fleet, section.text("backend", "vllm"))
        return step_time, section.text("note", note)
    missing = [k for k in _STEP_TIME if k not in section]
    if missing:
        raise FleetError(f"step_time.{missing[0]} is missing; expected a number of seconds >= 0")
    return StepTime(**{k: section.number(k, 0.0) for k in _STEP_TIME}), section.text("note", "given")
