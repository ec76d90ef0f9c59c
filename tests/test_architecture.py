"""Imports only go down: the floors of ARCHITECTURE.md, held by the source itself."""

import ast
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "shadowprice"
FLOORS = (  # from the ground up; who shares a floor does not import each other
    ("errors", "verb"),
    ("arrays", "certificate", "extras", "options", "printed", "plugins", "kernels"),
    ("optimize", "workload"),
    ("fleet",),
    ("experts", "routing", "scheduling", "capacity", "caching", "admission", "agents"),
    ("disaggregation",),
    ("simulate",),
    ("audit", "calibrate"),
    ("plan",),
    ("report",),
    ("router", "engines"),
    ("cli",),
)
FLOOR = {name: height for height, names in enumerate(FLOORS) for name in names}
FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> Iterator[tuple[int, str]]:
    """Line and room of every import from this project, also of those inside functions."""
    for statement in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            modules = [name.name for name in statement.names]
        elif isinstance(statement, ast.ImportFrom) and statement.module == "shadowprice":
            modules = [f"shadowprice.{name.name}" for name in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0, f"{path}:{statement.lineno}: a relative import; write the whole name"
            modules = [statement.module or ""]
        else:
            continue
        yield from ((statement.lineno, name.split(".")[1]) for name in modules if name.startswith("shadowprice."))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_only_go_down(path: Path) -> None:
    here = room_of(path)
    assert here in FLOOR, f"{here} has no floor; give it one here and a line in ARCHITECTURE.md"
    for line, there in imported_rooms(path):
        assert there == here or FLOOR[there] < FLOOR[here], f"{path}:{line}: {here} imports {there}"


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("__init__.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_package_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


MOST_PARAMETERS = 8
# Those that had more when the rule was made; a name goes when its room is mended, none comes.
LONG_LISTS = {
    "cli/fleet.py make",
    "cli/fleet_fit.py fit",
    "router/shadow/score.py evaluate",
    "workload/generators.py generate",
}


def long_lists(path: Path) -> Iterator[str]:
    """Functions with more than MOST_PARAMETERS parameters; `self` does not count."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            if len(names) - (names[:1] in (["self"], ["cls"])) > MOST_PARAMETERS:
                yield f"{path.relative_to(SOURCE)} {node.name}"


def test_no_function_outside_kernels_has_a_long_list_of_parameters() -> None:
    """Kernels take tables one by one; all others bundle what belongs together in a frozen object."""
    kernels = ("_kernel.py", "_triton.py")
    found = {name for path in FILES if not path.name.endswith(kernels) for name in long_lists(path)}
    assert found == LONG_LISTS


MODULES = {".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}


def imported_modules(path: Path) -> Iterator[str]:
    """Modules of this project that the file names in an import, also within functions and under TYPE_CHECKING."""
    for statement in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            names = [name.name for name in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            names = [f"{statement.module}.{name.name}" for name in statement.names]
        else:
            continue
        for name in (name.removeprefix("shadowprice.") for name in names if name.startswith("shadowprice.")):
            yield name if name in MODULES else name.rpartition(".")[0]


def room(module: str) -> str:
    """The folder within its package in which a module stands, or the module itself where it stands in none."""
    path = MODULES[module].relative_to(SOURCE)
    return "/".join(path.parts[:2]) if len(path.parts) > 2 else module


@pytest.mark.parametrize("unit", [str, room], ids=["files", "rooms"])
def test_nothing_imports_itself_by_way_of_others(unit: Callable[[str], str]) -> None:
    order: TopologicalSorter[str] = TopologicalSorter()
    for module, path in MODULES.items():
        for imported in imported_modules(path):
            if imported in MODULES and unit(imported) != unit(module):
                order.add(unit(module), unit(imported))
    try:
        order.prepare()
    except CycleError as circle:
        pytest.fail(" imports ".join(reversed(circle.args[1])))
