# mypy: allow-untyped-calls
"""numba's `njit` as every kernel here takes it: compiled code on disk can never be older than its source.

numba's own cache looks at the file of the function alone: a changed callee, or constant, of another file leaves the old
machine code in place. Here each module has a folder named by a digest of all source that its code is made from (its
own file and every file of the package that it imports, to the end of the chain) and of numba's version; numba itself
tells processors and Python versions apart. Folders stand below `__pycache__` of the package, else in the user's cache;
NUMBA_CACHE_DIR, where set, comes first. Of each module the folders used last are kept.
"""

import contextlib
import functools
import hashlib
import importlib.util
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import llvmlite.binding  # type: ignore[import-untyped]
import numba
from numba.core import caching

from shadowprice.errors import ShadowpriceError

if sys.platform != "win32":
    import fcntl

_config: Any = numba.config
KEPT = 8  # folders of one module
IMPORTED = re.compile(r"^\s*(?:from\s+([\w.]+)\s+import\s+(\([^)]*\)|.*)|import\s+([\w.]+))", re.MULTILINE)
_known: dict[str, str] = {}  # digest of each module's file when the first kernel that needs it was made


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """numba.njit(**options), its cache under the digest of its sources.

    Code of a file that was changed since this process read it is compiled, but not kept: nobody knows what it is of.
    Raises ShadowpriceError where there is no folder to keep compiled code in.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        digest = digest_of(function.__globals__)
        dispatcher = numba.njit(**{**options, "cache": False})(function)
        if options.get("cache") and digest is not None:
            folder = _folder(function.__module__, digest)
            with _numba_caches_in(folder):
                cache = _Cache(function)
            if cache.cache_path.startswith(folder):
                dispatcher._cache = cache  # as its enable_caching does
        return dispatcher

    return compiled


def digest_of(module: dict[str, Any]) -> str | None:
    """Digest of all source that the code of a module (its globals) is made from; None where that is not known."""
    sources = _sources(module)
    if not sources or any(_known.setdefault(name, digest) != digest for name, digest in sources.items()):
        return None
    lines = (f"{name} {digest}\n" for name, digest in sorted(sources.items()))
    return _hash("".join((numba.__version__, "\n", *lines)).encode())


def note(what: str, modules: Iterable[str]) -> None:
    """Note that all of `what`, which is made from these modules, is compiled for this machine."""
    name = _note(what, modules)
    if name is not None:
        (Path(_folder(what, name)) / "compiled").touch()


def is_noted(what: str, modules: Iterable[str]) -> bool:
    """Was it noted; also where no note can be made, since the sources changed after they were read."""
    name = _note(what, modules)
    return name is None or (_base(_config.CACHE_DIR) / what / name / "compiled").exists()


def _note(what: str, modules: Iterable[str]) -> str | None:
    digests = [digest_of(vars(sys.modules[name])) for name in modules]
    machine = (sys.version, llvmlite.binding.get_host_cpu_name(), llvmlite.binding.get_host_cpu_features().flatten())
    return None if None in digests else _hash("\n".join((what, *machine, *map(str, digests))).encode())


class _Cache(caching.FunctionCache):
    """numba's cache; one process at a time writes, as two would give two signatures the same file."""

    def save_overload(self, sig: Any, data: Any) -> None:
        with _alone(self.cache_path):
            super().save_overload(sig, data)


def _sources(module: dict[str, Any]) -> dict[str, str]:
    """Digests of the files of a module and of all that it imports, directly or not, of this package or its own."""
    own = {__name__.partition(".")[0], module["__name__"].partition(".")[0]}
    digests: dict[str, str] = {}
    pending = [module]
    while pending:
        known = pending.pop()
        name, file = known["__name__"], known.get("__file__") or ""
        if name in digests or name.partition(".")[0] not in own or not os.path.isfile(file):
            continue
        digests[name], imports = _read(file, *_version(file))
        for origin, names in imports if name != __name__ else ():
            if origin.startswith("."):
                origin = importlib.util.resolve_name(origin, known["__package__"])
            below = [f"{origin}.{part}" for part in names]
            if not below or not all(part in sys.modules for part in below):
                below.append(origin)
            pending += [vars(sys.modules[part]) for part in below if part in sys.modules]
    return digests


def _version(file: str) -> tuple[int, int]:
    stat = os.stat(file)
    return stat.st_mtime_ns, stat.st_size


@functools.cache
def _read(file: str, mtime_ns: int, size: int) -> tuple[str, list[tuple[str, tuple[str, ...]]]]:
    """Digest of a file as it is now, and what it imports: modules, and the names taken from them."""
    source = Path(file).read_bytes()
    imports = [
        (alone or origin, tuple(re.findall(r"(\w+)(?:\s+as\s+\w+)?", names)))
        for origin, names, alone in IMPORTED.findall(source.decode("utf-8", "replace"))
    ]
    return _hash(source), imports


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:24]


def _folder(module: str, digest: str) -> str:
    """The folder of a module's compiled code, marked as used now; old ones go when a new one comes."""
    folder = _base(_config.CACHE_DIR) / module / digest
    with contextlib.suppress(OSError):  # numba says whether it can be written; another process may clear up as well
        if not folder.exists():
            folder.mkdir(parents=True)
            for old in sorted(folder.parent.iterdir(), key=os.path.getmtime, reverse=True)[KEPT:]:
                shutil.rmtree(old, ignore_errors=True)
        os.utime(folder)
    return str(folder)


@functools.cache
def _base(named: str) -> Path:
    """Where all of them stand: the first of these folders that can be written."""
    places = [Path(__file__).parent / "__pycache__", _user_cache()]
    for place in [Path(named), *places] if named else places:
        base = place / "shadowprice-kernels"
        with contextlib.suppress(OSError):
            base.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=base).close()
            return base
    raise ShadowpriceError(
        f"no folder for compiled kernels: neither the package's own ({places[0]}) nor the home's cache ({places[1]}) "
        f"can be written{f', nor NUMBA_CACHE_DIR={named}' if named else ''}; set NUMBA_CACHE_DIR to a folder that can"
    )


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home())
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


@contextlib.contextmanager
def _numba_caches_in(folder: str) -> Iterator[None]:
    before = _config.CACHE_DIR
    _config.CACHE_DIR = folder
    try:
        yield
    finally:
        _config.CACHE_DIR = before


@contextlib.contextmanager
def _alone(folder: str) -> Iterator[None]:
    """While it lasts, no other process is here with the same folder. Where files cannot be locked, it does nothing."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "lock"), "ab") as lock:
        if sys.platform != "win32":
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield
