"""Reading what torch.save wrote without torch, and without running anything that the file may contain."""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shadowprice.errors import ExpertError

DTYPES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


class _Storage:
    """Stands for a torch storage type: only its name is used."""

    def __init__(self, name: str) -> None:
        self.name = name


def _tensor(storage: npt.NDArray[Any], offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Any:
    """What torch._utils._rebuild_tensor_v2 would make, as a numpy array, its strides checked against the storage."""
    if len(size) != len(stride) or any(type(n) is not int or n < 0 for n in (offset, *size, *stride)):
        raise ExpertError(f"a tensor of size {size}, stride {stride}, offset {offset}")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 in size:
        return np.empty(size, storage.dtype)
    if last >= len(storage):
        raise ExpertError(f"a tensor of size {size} does not fit its {len(storage)} numbers")
    width = storage.dtype.itemsize
    return np.lib.stride_tricks.as_strided(storage[offset:], size, [step * width for step in stride]).copy()


class _Unpickler(pickle.Unpickler):
    """Knows tensors, ordered dictionaries and plain values; any other name in the file is refused."""

    def __init__(self, archive: zipfile.ZipFile, prefix: str) -> None:
        super().__init__(archive.open(prefix + "data.pkl"))
        self.archive, self.prefix = archive, prefix
        names = archive.namelist()
        little = prefix + "byteorder" not in names or archive.read(prefix + "byteorder").strip() == b"little"
        self.order = "<" if little else ">"

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in DTYPES:
            return _Storage(name)
        raise ExpertError(f"the file names {module}.{name}; expected tensors of numbers and plain values only")

    def persistent_load(self, pid: Any) -> npt.NDArray[Any]:
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage" and isinstance(pid[1], _Storage)):
            raise ExpertError(f"the file refers to {str(pid)[:80]}; expected a tensor's storage")
        raw = self.archive.read(f"{self.prefix}data/{pid[2]}")
        return np.frombuffer(raw, self.order + DTYPES[pid[1].name] if pid[1].name != "BoolStorage" else "?")


def read_torch(path: Path) -> Any:
    """The object in a torch.save file (the zip form, torch 1.6 and later), its tensors as numpy arrays.

    Raises ExpertError, naming the file, for anything damaged or anything but tensors and plain values.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            pickles = [name for name in archive.namelist() if name.endswith("data.pkl") and name.count("/") == 1]
            if len(pickles) != 1:
                raise ExpertError("no data.pkl inside; expected what torch.save writes")
            return _Unpickler(archive, pickles[0].removesuffix("data.pkl")).load()
    except ExpertError as error:
        raise ExpertError(f"{path}: {error}") from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise ExpertError(f"{path}: damaged, or not from torch.save ({type(error).__name__}: {error})") from error
