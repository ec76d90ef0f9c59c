"""The unit and the manifest of docs/deploy: well formed, consistent, and with flags that the router takes."""

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from shadowprice.cli import app
from shadowprice.router.fleet.worker_file import read_worker_file

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
UNIT = DEPLOY / "shadowprice-router.service"


@pytest.fixture(scope="module")
def objects() -> dict[str, Any]:
    """The objects of the manifest by kind."""
    found = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")))
    kinds = {thing["kind"]: thing for thing in found}
    assert len(kinds) == len(found)
    return kinds


def parsed(arguments: list[str]) -> dict[str, Any]:
    """The flags as `shadowprice route` understands them; SystemExit or an error if it does not."""
    command: Any = typer.main.get_command(app)
    route = command.commands["route"]
    values: dict[str, Any] = route.make_context("route", list(arguments)).params
    return values


def test_unit_gives_flags_that_there_are_and_time_to_drain() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False, delimiters="=")
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    text = UNIT.read_text(encoding="utf-8")
    unit.read_string(re.sub(r"\\\n\s*", "", text))
    service = unit["Service"]
    program, verb, *arguments = shlex.split(service["ExecStart"])
    assert Path(program).name == "shadowprice" and verb == "route"
    flags = parsed(arguments)
    assert flags["record"].startswith(f"/var/lib/{service['StateDirectory']}/")
    assert service["Environment"] == f"NUMBA_CACHE_DIR=/var/cache/{service['CacheDirectory']}"
    assert float(service["TimeoutStopSec"]) > flags["drain_timeout_s"]
    assert service["DynamicUser"] == "yes"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_unit_is_accepted_by_systemd(tmp_path: Path) -> None:
    """With a program that exists in place of the router's."""
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text(encoding="utf-8").replace("/opt/shadowprice/bin/shadowprice", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_objects_of_the_manifest_belong_together(objects: dict[str, Any]) -> None:
    deployment, service = objects["Deployment"], objects["Service"]
    assert (deployment["apiVersion"], service["apiVersion"]) == ("apps/v1", "v1")
    template = deployment["spec"]["template"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    container = template["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= set(ports)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert next(iter(container[probe][how]["port"] for how in ("httpGet", "tcpSocket") if how in container[probe]))
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
    assert set(mounted) == set(volumes)
    assert volumes["workers"]["configMap"]["name"] == objects["ConfigMap"]["metadata"]["name"]


def test_manifest_gives_flags_that_there_are_and_time_to_drain(objects: dict[str, Any], tmp_path: Path) -> None:
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert container["command"] == ["shadowprice", "route"]
    flags = parsed(container["args"])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert (flags["port"], flags["prometheus_port"]) == (ports["http"], ports["admin"])
    pause = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > flags["drain_timeout_s"] + pause
    mounts = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
    written = [flags["record"], *(entry["value"] for entry in container["env"] if entry["name"] == "NUMBA_CACHE_DIR")]
    assert all(any(Path(path).is_relative_to(mount) for mount in mounts) for path in written)
    folder, name = Path(flags["worker_file"]).parent, Path(flags["worker_file"]).name
    assert str(folder) in [mount["mountPath"] for mount in container["volumeMounts"]]
    workers = tmp_path / name
    workers.write_text(objects["ConfigMap"]["data"][name], encoding="utf-8")
    assert len(read_worker_file(workers)) == 2


def test_manifest_runs_without_rights(objects: dict[str, Any]) -> None:
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert pod["securityContext"]["runAsNonRoot"] is True and pod["securityContext"]["runAsUser"] > 0
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
