"""The door: what `import shadowprice` shows, that it costs nothing until it is used, that verbs are packages too."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import shadowprice
from shadowprice.errors import ShadowpriceError

ROOT = Path(__file__).resolve().parents[1]
DOOR = ROOT / "src" / "shadowprice" / "__init__.py"
SHOWN = [  # what users rely on: a name that goes or comes is a line in the changelog
    *("Audit", "AuditOptions", "BatchPlan", "Certificate", "EngineRun", "ExpertError", "ExpertLoads"),
    *("ExpertOptions", "Fit"),
    *("Fleet", "FleetError", "Gpu", "InfeasibleError", "LatencyBound", "Link", "MeasuredLog", "MissingExtraError"),
    *("Model", "Placement", "Plan", "Policies", "PolicyError", "PoolsOptions", "PoolsPlan", "RouterError"),
    *("RoutingBench", "ShadowpriceError", "Slo", "Stability"),
    *("StepTime", "Targets", "Trace", "TraceError", "Worker", "__version__", "audit", "bench_routing", "capacity"),
    *("disaggregation", "experts", "fit", "fleet", "latency_bound", "plan", "plan_batch", "plan_pools", "read_fleet"),
    *("read_loads", "read_measured", "read_model", "read_trace", "routing", "scheduling", "simulate", "stability"),
    *("workload", "write_fleet", "write_page", "write_trace"),
]


def run(code: str) -> str:
    """What this prints in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_door_shows_these_names_and_no_others() -> None:
    assert shadowprice.__all__ == SHOWN
    assert dir(shadowprice) == sorted(SHOWN)


@pytest.mark.parametrize("name", SHOWN)
def test_every_name_is_there(name: str) -> None:
    assert getattr(shadowprice, name) is not None


def test_type_checkers_see_the_names_that_are_shown() -> None:
    """The imports for type checkers are those of `__getattr__`; mypy would not tell of one that is missing."""
    block = next(node for node in ast.parse(DOOR.read_text(encoding="utf-8")).body if isinstance(node, ast.If))
    typed = {"__version__"}  # declared there, not imported
    for statement in block.body:
        if isinstance(statement, ast.ImportFrom) and statement.module != "typing":
            typed |= {name.asname or name.name for name in statement.names}
    assert typed == set(SHOWN)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'shadowprice' has no attribute 'adit'"):
        _ = shadowprice.adit  # type: ignore[attr-defined]


def test_importing_it_imports_nothing_else() -> None:
    added = run("import sys; before = set(sys.modules); import shadowprice; print(*sorted(set(sys.modules) - before))")
    # what a plain interpreter has not loaded yet may differ by version; none of it is of another distribution
    assert [name for name in added.split() if name.partition(".")[0] not in sys.stdlib_module_names] == ["shadowprice"]
    assert "importlib.metadata" not in added.split()  # the version is looked up when it is asked for


@pytest.mark.parametrize(
    ("verb", "shown", "imports"),
    [
        ("audit", "Audit", "import shadowprice as sp"),
        ("audit", "Audit", "from shadowprice.audit import Audit; import shadowprice as sp"),
        ("plan", "Plan", "import shadowprice.plan; import shadowprice as sp"),
        ("simulate", "EngineRun", "import shadowprice as sp; sp.simulate; import shadowprice.simulate"),
        ("simulate", "EngineRun", "import shadowprice.simulate.engine; import shadowprice as sp"),
        ("simulate", "EngineRun", "from shadowprice import simulate; import shadowprice as sp"),
    ],
)
def test_a_verb_is_called_whatever_was_imported_before(verb: str, shown: str, imports: str) -> None:
    """And its package is there under the same name, with what it holds."""
    told = run(f"""
{imports}
import inspect
from shadowprice.{verb} import {verb} as function, {shown} as shown
import shadowprice.{verb} as package
assert package is sp.{verb}
assert package.{shown} is sp.{shown} is shown
assert inspect.signature(sp.{verb}) == inspect.signature(function)
try:
    sp.{verb}()
except TypeError as error:
    print(error)
""")
    assert told.startswith(f"{verb}() missing") and "'trace'" in told


def test_star_import_takes_what_is_shown() -> None:
    assert run("from shadowprice import *; print(read_fleet('llama-3.1-8b-h100').workers)") == "1"


def test_type_checkers_know_what_the_verbs_return(tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(
        "import shadowprice as sp\n"
        "trace, fleet = sp.read_trace('requests.csv'), sp.read_fleet('llama-3.1-8b-h100')\n"
        "audit: sp.Audit = sp.audit(trace, fleet)\n"
        "plan: sp.Plan = sp.plan(trace, fleet, sp.Targets(ttft_s=1.0))\n"
        "run: sp.EngineRun = sp.simulate(trace, fleet.worker, sp.scheduling.POLICIES['priced_work']())\n"
        "wrong: sp.Plan = sp.audit(trace, fleet)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(snippet)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert "snippet.py:6: error: Incompatible types in assignment" in done.stdout
    assert "Found 1 error" in done.stdout, done.stdout


def test_every_error_is_of_one_family() -> None:
    errors = [getattr(shadowprice, name) for name in SHOWN if name.endswith("Error")]
    assert all(issubclass(error, ShadowpriceError) for error in errors)
    assert [name for name, _ in inspect.getmembers(sys.modules["shadowprice.errors"], inspect.isclass)] == sorted(
        error.__name__ for error in errors
    )
