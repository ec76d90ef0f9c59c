"""Token-level routing: our npz, vLLM's `routed_experts` as arrays or inside its responses."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shadowprice.errors import ExpertError
from shadowprice.experts.loads import Routing

ROUTING_KEYS = ("routed_experts", "experts")


def routing_from_ids(ids: npt.NDArray[Any], name: str, experts: int | None = None) -> Routing:
    """Routing from ids [tokens, layers, top_k]; a layer that never routes is dropped and noted.

    vLLM's array has a row for every layer of the model, and zeros in those that have no experts. With top_k > 1 a real
    choice never names one expert twice, so a layer whose every token names expert 0 top_k times is such a layer.
    experts: how many the model has; without it, as many as the largest id asks for, and that is noted.
    """
    if ids.ndim != 3 or ids.dtype.kind not in "iu" or 0 in ids.shape:
        raise ExpertError(
            f"{name}: expert ids are an array {list(ids.shape)} of {ids.dtype}; expected whole numbers "
            "[tokens, layers, top_k]"
        )
    notes = []
    routed = ids.any(axis=(0, 2)) if ids.shape[2] > 1 else np.ones(ids.shape[1], np.bool_)
    if not routed.any():
        raise ExpertError(f"{name}: every token of every layer went to expert 0 only; no routing was recorded")
    layer_ids = np.flatnonzero(routed).astype(np.int64)
    if not routed.all():
        notes.append(f"layers without experts left out: {', '.join(str(i) for i in np.flatnonzero(~routed))}")
        ids = ids[:, routed]
    largest = int(ids.max())
    if experts is None:
        if largest >= 1 << 16:
            raise ExpertError(f"{name}: expert {largest}; no model has so many experts")
        experts = largest + 1
        notes.append(f"{experts} experts: the largest id plus one")
    return Routing(ids, experts, layer_ids, name, tuple(notes))


def read_responses(path: Path, experts: int | None = None) -> Routing:
    """Routing from vLLM's answers (one JSON object, or one per line), in order: choices[i].routed_experts of each.

    vLLM puts it there with `--enable-return-routed-experts`: an .npy file [tokens - 1, layers, top_k] in base64
    (vllm/entrypoints/openai/chat_completion/protocol.py, 0.32). Answers without it are counted and noted.
    """
    parts, missing = [], 0
    for line, answer in _objects(path):
        choices = answer.get("choices")
        if not isinstance(choices, list):
            raise ExpertError(f"{path}:{line}: no list `choices`; expected a vLLM completion or chat completion")
        for k, choice in enumerate(choices):
            text = choice.get("routed_experts") if isinstance(choice, dict) else None
            if text is None:
                missing += 1
            else:
                parts.append(_decode(f"{path}:{line}: choices[{k}].routed_experts", text))
    if not parts:
        raise ExpertError(f"{path}: no answer has routed_experts; start vLLM with --enable-return-routed-experts")
    shapes = {part.shape[1:] for part in parts}
    if len(shapes) > 1:
        raise ExpertError(f"{path}: answers of different models: [layers, top_k] is {sorted(shapes)}")
    routing = routing_from_ids(np.concatenate(parts), str(path), experts)
    if missing:
        note = f"{missing} answers without routed_experts left out"
        routing = Routing(routing.expert, routing.experts, routing.layer_ids, routing.name, (*routing.notes, note))
    return routing


def _objects(path: Path) -> list[tuple[int, dict[str, Any]]]:
    text = path.read_text(encoding="utf-8")
    try:
        return [(1, json.loads(text))]
    except (json.JSONDecodeError, RecursionError):
        pass
    found = []
    for line, row in enumerate(text.split("\n"), 1):
        if row.strip():
            try:
                found.append((line, json.loads(row)))
            except (json.JSONDecodeError, RecursionError) as error:
                raise ExpertError(f"{path}:{line}: not JSON: {error}") from error
            if not isinstance(found[-1][1], dict):
                raise ExpertError(f"{path}:{line}: {row[:40]!r}; expected one JSON object per line")
    return found


def _decode(where: str, text: Any) -> npt.NDArray[Any]:
    try:
        array = np.load(io.BytesIO(base64.b64decode(text, validate=True)), allow_pickle=False)
    except Exception as error:  # numpy raises many kinds for a damaged file
        raise ExpertError(f"{where}: not an .npy file in base64 ({type(error).__name__}: {error})") from error
    if not isinstance(array, np.ndarray) or array.ndim != 3 or array.dtype.kind not in "iu":
        raise ExpertError(f"{where}: expected whole numbers [tokens, layers, top_k]")
    return array
