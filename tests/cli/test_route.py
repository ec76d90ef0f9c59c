"""Keys of the router, from flags and from the environment: none that is meant is left out, and none is made up."""

from dataclasses import fields
from typing import Any, get_type_hints

import pytest
from typer.testing import CliRunner

import shadowprice.router.process
from shadowprice.cli import app
from shadowprice.router.settings import FLAGS, Settings, flag_name
from shadowprice.routing.policies import MOST_PASSES


def settings_of(monkeypatch: pytest.MonkeyPatch, *flags: str, **environment: str) -> Settings | BaseException | None:
    """What would be run, or the error instead."""
    ran: list[Any] = []
    monkeypatch.setattr(shadowprice.router.process, "run", ran.append)  # else it would serve
    done = CliRunner().invoke(app, ["route", *flags], env=environment)
    return ran[0] if ran else done.exception


@pytest.mark.parametrize("given", ["k1,k2", " k1, k2 ", "k1,,k2,", "k1,k2\n"])
def test_keys_in_the_environment_are_those_between_the_commas(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(monkeypatch, SHADOWPRICE_API_KEY=given)
    assert isinstance(settings, Settings) and settings.api_keys == ("k1", "k2")


@pytest.mark.parametrize("given", ["", " ", ",", " , "])
def test_a_variable_that_names_no_key_is_an_error_and_opens_nothing(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "SHADOWPRICE_API_KEY is set, but names no key" in str(settings_of(monkeypatch, SHADOWPRICE_API_KEY=given))
    settings = settings_of(monkeypatch, "--api-key", "k", SHADOWPRICE_API_KEY=given)  # the flag goes first
    assert isinstance(settings, Settings) and settings.api_keys == ("k",)


@pytest.mark.parametrize("flag", ["--api-key", "--worker-api-key"])
def test_a_flag_that_names_no_key_is_an_error(flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    others = {"SHADOWPRICE_API_KEY": "other", "SHADOWPRICE_WORKER_API_KEY": "other"}
    assert f"{flag} (or " in str(settings_of(monkeypatch, flag, "", **others))


def test_an_empty_worker_or_admin_key_is_not_taken_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = settings_of(monkeypatch, SHADOWPRICE_WORKER_API_KEY="")
    assert "SHADOWPRICE_WORKER_API_KEY) is an empty key" in str(empty)
    for settings in (
        settings_of(monkeypatch, "--admin-api-key", "", SHADOWPRICE_ADMIN_API_KEY="other"),
        settings_of(monkeypatch, SHADOWPRICE_ADMIN_API_KEY=""),
    ):
        assert isinstance(settings, Settings) and settings.admin_api_key == ""  # which `require_key` refuses


OTHERS = {
    "worker_urls": ("http://a:1",),
    "policy": "priced_holes",
    "scheduling_policy": "vtc",
    "health_check_endpoint": "/ready",
    "otlp_traces_endpoint": "http://collector:4318/v1/traces",
    "ssl_certfile": "cert.pem",
    "record": "trace.parquet",
}
GIVEN_TOO = {"ssl_keyfile": ["--ssl-certfile", "cert.pem"]}


def other_than(name: str, default: Any) -> Any:
    """A value that is not the default."""
    kind = get_type_hints(Settings)[name]
    if kind is bool:
        return not default
    if kind in (float, int, int | None):
        return kind(default + 1) if default is not None else 7
    return OTHERS.get(name, ("key",) if kind == tuple[str, ...] else "else")


@pytest.mark.parametrize("name", [name for name, flag in FLAGS.items() if flag.group is not None])
def test_each_setting_is_set_by_its_flag_and_by_no_other(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    default = getattr(Settings(), name)
    wanted = other_than(name, default)
    flag = flag_name(name)
    if isinstance(wanted, bool):
        words = [flag if wanted else flag.replace("--", "--no-", 1)]
    else:
        words = [flag, wanted[0] if isinstance(wanted, tuple) else str(wanted)]
    settings = settings_of(monkeypatch, *words, *GIVEN_TOO.get(name, []))
    assert isinstance(settings, Settings)
    changed = {
        field.name for field in fields(Settings) if getattr(settings, field.name) != getattr(Settings(), field.name)
    }
    assert getattr(settings, name) == wanted
    assert changed == {name} | {"ssl_certfile" for _ in GIVEN_TOO.get(name, [])}


def test_the_defaults_of_the_command_line_are_those_of_the_settings_and_of_the_policies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert settings_of(monkeypatch) == Settings()
    assert Settings().most_passes == MOST_PASSES
