"""SGLang's expert distribution records: what /dump_expert_distribution_record writes (sglang/srt/eplb)."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shadowprice.errors import ExpertError
from shadowprice.experts.loads import ExpertLoads, loads_from_counts
from shadowprice.experts.readers.counts import counts_in
from shadowprice.experts.readers.torch_file import read_torch


def read_sglang(path: Path) -> ExpertLoads:
    """Loads from one .pt file of the recorder, or from a directory with one per rank.

    Modes stat and stat_approx: {"logical_count": [steps, layers, experts]}, summed over ranks by SGLang. Modes per_pass
    and per_token: {"records": [{"forward_pass_id", "rank", "global_physical_count": [layers, slots], ...}, ...],
    "last_physical_to_logical_map": [layers, slots]}, one file per rank; each forward pass is a batch, its ranks added.
    """
    files = sorted(path.glob("*.pt")) if path.is_dir() else [path]
    if not files:
        raise ExpertError(f"{path}: no .pt file in this directory; expected SGLang's expert distribution records")
    dumps = [(file, read_torch(file)) for file in files]
    for file, dump in dumps:
        if not isinstance(dump, dict):
            raise ExpertError(f"{file}: holds a {type(dump).__name__}; expected a record of SGLang's recorder")
    if len(dumps) == 1 and "records" not in dumps[0][1]:
        loads = counts_in(*dumps[0])
        if loads is None:
            found = ", ".join(map(str, dumps[0][1])) or "nothing"
            raise ExpertError(f"{files[0]}: found {found[:200]}; expected logical_count, or records")
        return loads
    return loads_from_counts(_by_pass(dumps), str(path))


def _by_pass(dumps: list[tuple[Path, dict[str, Any]]]) -> npt.NDArray[np.int64]:
    passes: dict[int, npt.NDArray[np.int64]] = {}
    seen: set[tuple[int, int]] = set()
    for file, dump in dumps:
        if not isinstance(dump.get("records"), list) or "last_physical_to_logical_map" not in dump:
            raise ExpertError(f"{file}: expected records and last_physical_to_logical_map, as of the other files here")
        logical = np.asarray(dump["last_physical_to_logical_map"])
        if logical.ndim != 2 or logical.dtype.kind not in "iu" or 0 in logical.shape or logical.min() < 0:
            raise ExpertError(f"{file}: last_physical_to_logical_map is no array of expert ids [layers, slots]")
        for k, record in enumerate(dump["records"]):
            where = f"{file}: records[{k}]"
            count, key = _record(where, record, logical.shape)
            if key in seen:
                raise ExpertError(f"{where}: forward pass {key[0]} of rank {key[1]} stands twice")
            seen.add(key)
            added = _to_logical(count, logical)
            if key[0] in passes and passes[key[0]].shape != added.shape:
                raise ExpertError(f"{where}: {list(added.shape)} layers and experts; other ranks have another shape")
            passes[key[0]] = passes.get(key[0], 0) + added
    if not passes:
        raise ExpertError(f"{dumps[0][0]}: no records; was anything served while recording?")
    return np.stack([passes[key] for key in sorted(passes)])


def _record(where: str, record: Any, shape: tuple[int, ...]) -> tuple[npt.NDArray[Any], tuple[int, int]]:
    try:
        count = np.asarray(record["global_physical_count"])
        key = (int(record["forward_pass_id"]), int(record["rank"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ExpertError(
            f"{where}: expected forward_pass_id, rank and global_physical_count ({type(error).__name__}: {error})"
        ) from error
    if count.shape != shape or count.dtype.kind not in "iu":
        raise ExpertError(f"{where}: global_physical_count {list(count.shape)}; expected counts {list(shape)}")
    return count, key


def _to_logical(count: npt.NDArray[Any], logical: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    layers = len(count)
    counts = np.zeros((layers, int(logical.max()) + 1), np.int64)
    np.add.at(counts, (np.arange(layers)[:, None], logical), count)
    return counts
