"""Placements in the forms that engines load."""

import json
from pathlib import Path

import numpy as np

from shadowprice.arrays import IntArray
from shadowprice.errors import ExpertError
from shadowprice.experts.problem import Placement

ENDINGS = (".json", ".npy", ".npz")  # of what can be written


def write_placement(placement: Placement, layer_ids: IntArray, path: Path) -> None:
    """Write where every expert goes, in the form that the file's ending stands for.

    .json  SGLang: {"physical_to_logical_map": [layers][slots]} and no other key, because
           `--init-expert-location FILE` passes all keys on (sglang/srt/eplb/expert_location.py). Its first index is the
           layer's number in the model, so layers that have no experts get the trivial row.
    .npy   vLLM: int64 [MoE layers, slots], what an EPLB policy's `rebalance_experts` returns
           (vllm/distributed/eplb/policy/abstract.py; docs/experts.md shows the ten lines that return it).
    .npz   ours: expert_of_slot, gpus, experts, layer_ids.

    Raises ExpertError for another ending, or where the file cannot be written.
    """
    try:
        if path.suffix == ".json":
            path.write_text(json.dumps({"physical_to_logical_map": _all_layers(placement, layer_ids).tolist()}) + "\n")
        elif path.suffix == ".npy":
            np.save(path, placement.expert_of_slot)
        elif path.suffix == ".npz":
            np.savez_compressed(
                path,
                expert_of_slot=placement.expert_of_slot,
                gpus=placement.gpus,
                experts=placement.experts,
                layer_ids=layer_ids,
            )
        else:
            raise ExpertError(f"{path}: expected a name that ends in .json (SGLang), .npy (vLLM) or .npz (ours)")
    except OSError as error:
        raise ExpertError(f"{path}: cannot be written: {error.strerror}") from error


def _all_layers(placement: Placement, layer_ids: IntArray) -> IntArray:
    layers, slots = int(layer_ids.max()) + 1, placement.expert_of_slot.shape[1]
    rows = np.tile(np.arange(slots, dtype=np.int64) % placement.experts, (layers, 1))
    rows[layer_ids] = placement.expert_of_slot
    return rows


def read_placement(path: Path, gpus: int, experts: int, layer_ids: IntArray) -> Placement:
    """A placement that `write_placement` wrote, for the layers of some loads: where a budget of copies starts from.

    Raises ExpertError where the file is damaged or does not fit GPUs, experts or layers.
    """
    try:
        if path.suffix == ".json":
            found = np.asarray(json.loads(path.read_text())["physical_to_logical_map"])
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                found = np.full((int(arrays["layer_ids"].max()) + 1, arrays["expert_of_slot"].shape[1]), -1)
                found[arrays["layer_ids"]] = arrays["expert_of_slot"]
        else:
            found, layer_ids = np.load(path, allow_pickle=False), np.arange(len(layer_ids))
    except OSError as error:
        raise ExpertError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # json and numpy raise many kinds for a damaged file
        raise ExpertError(f"{path}: not a placement; expected a file that -o wrote: .json, .npy or .npz") from error
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype.kind not in "iu":
        raise ExpertError(f"{path}: expected expert ids [layers, slots]")
    if len(found) <= layer_ids.max():
        raise ExpertError(f"{path}: {len(found)} layers; the loads have layer {layer_ids.max()}")
    return Placement(np.ascontiguousarray(found[layer_ids], np.int64), gpus, experts)
