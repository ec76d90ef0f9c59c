"""A package of somebody else's with one policy in it, really built and installed, into a folder of its own."""

import subprocess
import sys
from pathlib import Path

PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "outsider"
version = "1.0"

[project.entry-points."{group}"]
{name} = "outsider:{name}"

[tool.setuptools]
py-modules = ["outsider"]
"""


def install(folder: Path, group: str, name: str, source: str) -> Path:
    """Build and install a package `outsider` whose module has this source; returns the folder to put on PYTHONPATH.

    Without network: what builds it is installed already, and it asks for nothing.
    """
    project, target = folder / "project", folder / "target"
    project.mkdir()
    (project / "pyproject.toml").write_text(PYPROJECT.format(group=group, name=name))
    (project / "outsider.py").write_text(source)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--no-warn-script-location", "--target", target, project], check=True)
    return target
