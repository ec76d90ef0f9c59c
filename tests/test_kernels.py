"""Compiled code is never older than the source that it was made from, and is kept, whoever compiles."""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import shadowprice
import shadowprice.cli
from shadowprice import kernels
from shadowprice.errors import ShadowpriceError

SOURCE = Path(shadowprice.__file__).parent
# a request of 7 + 5 tokens begins to wait; prints tokens that wait, its status, and what came from the cache or did not
WAIT = """
import numpy as np
from shadowprice.simulate._engine_queue_kernel import wait
from shadowprice.simulate._engine_state import KEY, REQUEST, EngineRules, one_engine
requests = np.zeros(1, REQUEST)
requests["prompt"], requests["generated"] = 7, 5
rules = EngineRules(0., 0., 0., 0., 1, 1, 1, 16, 0, 0., 0, 0, 0., 0., *6 * [False], True, (0.,) * 4, (0.,) * 4)
engine = one_engine(requests, rules, np.zeros(0, KEY), 0)
wait(requests, rules, engine.runs[0], 0)
print(engine.runs["waiting_tokens"][0], requests["status"][0])
print(wait.stats.cache_hits.total(), wait.stats.cache_misses.total())
"""


def run(script: str, path: Path, **environment: str) -> list[str]:
    """What a fresh process prints, with the packages below `path` before all others."""
    answer = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(path), **environment},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.split()


def edit(file: Path, old: str, new: str) -> None:
    source = file.read_text(encoding="utf-8")
    assert source.count(old) == 1
    file.write_text(source.replace(old, new), encoding="utf-8")


def test_an_edit_anywhere_below_a_kernel_shows_in_the_next_process_and_others_stay_compiled(tmp_path: Path) -> None:
    copy = tmp_path / "shadowprice"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    assert run(WAIT, tmp_path, NUMBA_CACHE_DIR="") == ["12", "1", "0", "1"]
    assert run(WAIT, tmp_path, NUMBA_CACHE_DIR="") == ["12", "1", "1", "0"]
    context = "requests[r].prompt + requests[r].generated\n"
    edit(copy / "simulate/_engine_memory_kernel.py", f"return {context}", f"return 1000 + {context}")
    assert run(WAIT, tmp_path, NUMBA_CACHE_DIR="") == ["1012", "1", "0", "1"]
    edit(
        copy / "simulate/_engine_state.py",
        "WAITING, RUNNING, LEAVING, FINISHED = 1,",
        "WAITING, RUNNING, LEAVING, FINISHED = 9,",
    )
    assert run(WAIT, tmp_path, NUMBA_CACHE_DIR="") == ["1012", "9", "0", "1"]
    edit(copy / "simulate/_engine_memory_kernel.py", f"return 1000 + {context}", f"return {context}")
    edit(
        copy / "simulate/_engine_state.py",
        "WAITING, RUNNING, LEAVING, FINISHED = 9,",
        "WAITING, RUNNING, LEAVING, FINISHED = 1,",
    )
    assert run(WAIT, tmp_path, NUMBA_CACHE_DIR="") == ["12", "1", "1", "0"]  # of the first run


def make_package(folder: Path, **modules: str) -> None:
    (folder / "theirs").mkdir()
    (folder / "theirs/__init__.py").write_text("")
    for name, source in modules.items():
        (folder / "theirs" / f"{name}.py").write_text(source)


CALLEE = "from shadowprice.kernels import njit\n\n\n@njit(cache=True)\ndef one():\n    return 1\n"
CALLER = """
from shadowprice.kernels import njit
from {origin} import {name}


@njit(cache=True)
def two():
    return 2 * {call}()
"""
TWO = "from theirs.caller import two; print(two(), two.stats.cache_misses.total())"


@pytest.mark.parametrize(
    ("origin", "name", "call"),
    [
        ("theirs.callee", "(  # in brackets\n    one as uno,\n)", "uno"),
        ("theirs", "callee as other", "other.one"),
        (".callee", "one", "one"),
        (".", "callee", "callee.one"),
    ],
)
def test_a_policy_of_a_users_own_package_is_as_safe_however_it_imports(
    origin: str, name: str, call: str, tmp_path: Path
) -> None:
    make_package(tmp_path, callee=CALLEE, caller=CALLER.format(origin=origin, name=name, call=call))
    assert run(TWO, tmp_path, NUMBA_CACHE_DIR=str(tmp_path)) == ["2", "1"]
    edit(tmp_path / "theirs/callee.py", "return 1", "return 5")
    assert run(TWO, tmp_path, NUMBA_CACHE_DIR=str(tmp_path)) == ["10", "1"]
    assert run(TWO, tmp_path, NUMBA_CACHE_DIR=str(tmp_path)) == ["10", "0"]


def test_what_was_compiled_across_an_edit_is_not_kept(tmp_path: Path) -> None:
    make_package(tmp_path, callee=CALLEE, caller=CALLER.format(origin="theirs.callee", name="one", call="one"))
    changes = "import theirs.callee as c; p = c.__file__; s = open(p).read(); open(p, 'w').write(s.replace('1', '55'));"
    assert run(changes + TWO, tmp_path, NUMBA_CACHE_DIR=str(tmp_path))[0] == "2"  # it has the old callee
    assert run(TWO, tmp_path, NUMBA_CACHE_DIR=str(tmp_path)) == ["110", "1"]


KINDS = ["int8", "int32", "float32", "complex64"]
CALL = """
import pathlib, time
import numpy
from numba.core.caching import IndexDataCacheFile
from theirs.callee import twice
def slowly(*arguments, save=IndexDataCacheFile._save_index):
    time.sleep(0.5)
    save(*arguments)
IndexDataCacheFile._save_index = slowly  # as on a slow disk, so that all are between reading and writing at once
for kind in kinds:
    pathlib.Path(f"{kind}.here").touch()
while len(list(pathlib.Path().glob("*.here"))) < 4:
    time.sleep(0.001)
print(*(twice(numpy.full(1, 21, kind)) == 42 for kind in kinds), twice.stats.cache_misses.total())
"""


def test_processes_that_compile_at_once_leave_every_signature_where_it_belongs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """numba alone lets two of them give two signatures the same file."""
    make_package(tmp_path, callee=CALLEE.replace("one()", "twice(x)").replace("return 1", "return 2 * x[0]"))
    monkeypatch.chdir(tmp_path)
    with ThreadPoolExecutor(len(KINDS)) as threads:
        said = threads.map(lambda kind: run(f"kinds = [{kind!r}]" + CALL, tmp_path, NUMBA_CACHE_DIR="."), KINDS)
        assert list(said) == [["True", "1"]] * len(KINDS)
    assert run(f"kinds = {KINDS}" + CALL, tmp_path, NUMBA_CACHE_DIR=".") == ["True"] * len(KINDS) + ["0"]


def test_folders_of_old_sources_do_not_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels.numba.config, "CACHE_DIR", str(tmp_path))
    kernels._base.cache_clear()
    folders = [Path(kernels._folder("room._kernel", str(i))) for i in range(kernels.KEPT)]
    for age, folder in enumerate(folders):
        os.utime(folder, (age, age))
    assert Path(kernels._folder("room._kernel", "0")) == folders[0]  # used again
    newest = Path(kernels._folder("room._kernel", "another"))
    kernels._base.cache_clear()
    assert set(newest.parent.iterdir()) == {newest, folders[0], *folders[2:]}


@pytest.fixture
def unwritable(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders that cannot be written, to be filled; root can write all, so that they are told by name."""
    folders: list[Path] = []
    makes = Path.mkdir

    def mkdir(path: Path, *arguments: object, **options: object) -> None:
        if any(path.is_relative_to(folder) for folder in folders):
            raise PermissionError(13, "Permission denied")
        makes(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", mkdir)
    return folders


def test_the_users_cache_stands_in_for_a_package_that_cannot_be_written(
    unwritable: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "_user_cache", lambda: tmp_path)
    assert kernels._base.__wrapped__("").is_relative_to(SOURCE)
    unwritable.append(SOURCE)
    assert kernels._base.__wrapped__("").is_relative_to(tmp_path)


def test_where_nothing_can_be_written_the_error_names_the_folders_and_the_way_out(
    unwritable: list[Path], tmp_path: Path
) -> None:
    unwritable += [SOURCE, kernels._user_cache(), tmp_path]
    with pytest.raises(ShadowpriceError, match=f"{SOURCE}.*{kernels._user_cache()}.*{tmp_path}.*set NUMBA_CACHE_DIR"):
        kernels._base.__wrapped__(str(tmp_path))


NUMBAS_OWN = re.compile(
    r"^\s*(?:from numba import .*\b(?:njit|jit|vectorize|guvectorize|cfunc)\b|@numba\.)", re.MULTILINE
)


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_kernel_is_compiled_through_this_door(path: Path) -> None:
    assert not NUMBAS_OWN.search(path.read_text(encoding="utf-8")), "take njit from shadowprice.kernels"


NOTED = """
from shadowprice import kernels
import theirs.caller
print(kernels.is_noted("theirs", ["theirs.caller"]))
kernels.note("theirs", ["theirs.caller"])
"""


def test_a_note_of_what_is_compiled_holds_until_a_source_changes(tmp_path: Path) -> None:
    make_package(tmp_path, callee=CALLEE, caller=CALLER.format(origin="theirs.callee", name="one", call="one"))
    assert run(NOTED, tmp_path, NUMBA_CACHE_DIR=str(tmp_path)) == ["False"]
    assert run(NOTED, tmp_path, NUMBA_CACHE_DIR=str(tmp_path)) == ["True"]
    edit(tmp_path / "theirs/callee.py", "return 1", "return 5")
    assert run(NOTED, tmp_path, NUMBA_CACHE_DIR=str(tmp_path)) == ["False"]
