"""What is installed: the core without extras, wheel and sdist with their licence, versions that are written down."""

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from shadowprice.errors import MissingExtraError
from shadowprice.extras import EXTRAS, needs

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OPTIONAL = {name: [Requirement(line) for line in lines] for name, lines in PROJECT["optional-dependencies"].items()}
CORE = [Requirement(line) for line in PROJECT["dependencies"]]
# An interpreter in which only the core's packages, and those of the tests, can be imported.
WITHOUT_EXTRAS = f"""
import sys
from importlib.abc import MetaPathFinder

class Refuse(MetaPathFinder):
    modules = {sorted({module.partition(".")[0] for _, modules in EXTRAS.values() for module in modules} | {"uvloop"})}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.modules:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refuse())
"""


def without_extras(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS + code], capture_output=True, text=True, check=False, cwd=ROOT
    )


def shadowprice_without_extras(*arguments: str) -> subprocess.CompletedProcess[str]:
    return without_extras(f"sys.argv[1:] = {arguments!r}\nfrom shadowprice.cli import main\nmain()")


def test_the_core_reads_simulates_bounds_plans_and_audits() -> None:
    done = without_extras("""
import numpy as np
import shadowprice as sp

trace = sp.workload.PRESETS["azure-conv-like"](np.random.default_rng(0), requests=60)
fleet = sp.read_fleet("llama-3.1-8b-h100")
run = sp.simulate(trace, fleet.worker, sp.scheduling.POLICIES["priced_work"]())
bound = sp.latency_bound(trace.arrival_s, trace.prompt_tokens, trace.output_tokens, fleet.worker)
assert run.e2e_s.mean() >= bound.mean_s > 0
assert sp.plan(trace, fleet, sp.Targets(ttft_s=1.0)).workers_stable == 1
assert "scheduling" in str(sp.audit(trace, fleet))
for name in set(sp.__all__) - {"write_page"}:
    getattr(sp, name)
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & set(Refuse.modules), loaded
""")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("verb", ["audit", "bench", "disaggregate", "experts", "fleet", "plan", "route", "trace"])
def test_the_core_has_every_help(verb: str) -> None:
    done = shadowprice_without_extras(verb, "--help")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            ("route", "--worker-urls", "http://localhost:8000"),
            "error: the live router: not installed: aiohttp, httptools, prometheus_client, xxhash; "
            "expected: pip install 'shadowprice[router]'",
        ),
        (
            ("audit", "--report", "page.html"),
            "error: pages and plots: not installed: jinja2, matplotlib; expected: pip install 'shadowprice[report]'",
        ),
    ],
)
def test_what_needs_an_extra_says_how_to_install_it(arguments: tuple[str, ...], error: str) -> None:
    done = shadowprice_without_extras(*arguments)
    assert (done.returncode, done.stderr.strip()) == (2, error)


def test_a_sweep_in_one_process_needs_nothing_more() -> None:
    done = without_extras("""
from shadowprice.errors import MissingExtraError
from shadowprice.plan import sweep

assert sweep(abs, [-1, 2, -3], jobs=1) == [1, 2, 3]
try:
    sweep(abs, [-1, 2, -3], jobs=2)
except MissingExtraError as error:
    print(error)
""")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("expected: pip install 'shadowprice[sweep]'")


def test_needs_is_silent_where_all_is_installed() -> None:
    for extra in EXTRAS:
        needs(extra)


def test_needs_names_only_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXTRAS, "report", ("pages", ("jinja2", "no_such_module", "no_such.inner")))
    with pytest.raises(MissingExtraError, match=r"^pages: not installed: no_such_module, no_such\.inner; expected"):
        needs("report")


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_modules_of_an_extra_are_those_that_it_installs(extra: str) -> None:
    homes = packages_distributions()
    installs = {canonicalize_name(requirement.name) for requirement in OPTIONAL[extra]}
    for module in EXTRAS[extra][1]:
        assert installs & {canonicalize_name(home) for home in homes[module.partition(".")[0]]}, module
    core = {canonicalize_name(requirement.name) for requirement in CORE}
    assert not installs & core


def test_all_is_every_extra_that_the_code_asks_for() -> None:
    assert set(EXTRAS) == OPTIONAL["all"][0].extras


def test_the_constraints_name_a_version_of_everything_that_is_asked_for() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = {canonicalize_name(name): version for name, version in re.findall(r"^([^#=\s]+)==(\S+)$", text, re.M)}
    wanted = [*CORE, *(r for extra, lines in OPTIONAL.items() if extra != "oracle" for r in lines)]
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    for requirement in (*wanted, *map(Requirement, build)):
        if requirement.name != "shadowprice":
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


def test_the_citation_names_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])


def test_wheel_and_sdist_are_built_with_licence_and_notice(tmp_path: Path) -> None:
    """From a copy, since building writes beside the source; with the setuptools that is installed."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, copy / name)
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(copy)],
        check=True,
        capture_output=True,
    )
    (wheel,), (sdist,) = (tmp_path / "dist").glob("*.whl"), (tmp_path / "dist").glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
        metadata = archive.read(next(name for name in in_wheel if name.endswith("/METADATA"))).decode()
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "NOTICE"} <= in_sdist
    licences = {name.rpartition("/")[2] for name in in_wheel if ".dist-info/licenses/" in name}
    assert licences == {"LICENSE", "NOTICE"}
    assert "License-Expression: Apache-2.0" in metadata
    kinds = ("py.typed", "*.toml", "*.html", "*.css", "*.js", "*.svg", "*.py")
    sources = {p.relative_to(copy / "src").as_posix() for kind in kinds for p in (copy / "src").rglob(kind)}
    assert sources <= in_wheel
