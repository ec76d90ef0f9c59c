"""Imports only go down: the floors of ARCHITECTURE.md, held by the source itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "shadowprice"
FLOORS = (  # from the ground up; who shares a floor does not import each other
    ("errors", "verb"),
    ("arrays", "certificate", "extras", "printed", "plugins", "kernels"),
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
