"""Keys of the router, from flags and from the environment: none that is meant is left out, and none is made up."""

from typing import Any

import pytest
from typer.testing import CliRunner

import shadowprice.router.process
from shadowprice.cli import app
from shadowprice.router.settings import Settings


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
