"""Policies of other packages: found by name, refused with a message that names the package."""

from importlib.metadata import EntryPoint

import pytest

from shadowprice import plugins
from shadowprice.errors import PolicyError
from shadowprice.plugins import Registry

GROUP = "shadowprice.scheduling"


def mine() -> str:
    return "a policy"


def registry(monkeypatch: pytest.MonkeyPatch, *entries: tuple[str, str]) -> Registry:
    found = [EntryPoint(name, value, GROUP) for name, value in entries]
    monkeypatch.setattr(plugins, "entry_points", lambda group: [e for e in found if e.group == group])
    return Registry(GROUP, {"mine": mine})


def test_built_in_policies_come_first_and_installed_ones_are_imported_when_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = registry(monkeypatch, ("their_path", "pathlib:Path"), ("broken", "no.such.module:x"))
    assert list(known) == ["mine", "broken", "their_path"]
    assert len(known) == 3 and "their_path" in known and "nobodys" not in known
    assert known["mine"]() == "a policy"
    assert known["their_path"]("/x").name == "x"
    with pytest.raises(KeyError):
        known["nobodys"]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("broken", "no.such.module:x")], r"'broken' of package .* no\.such\.module:x cannot be imported"),
        ([("broken", "math:no_such_name")], r"cannot be imported \(AttributeError"),
        ([("broken", "math:pi")], r"is 3\.14.*; expected something to call"),
        ([("mine", "math:sqrt")], r"names a policy 'mine' for shadowprice\.scheduling, and so does shadowprice itself"),
        ([("twice", "math:sqrt"), ("twice", "math:exp")], r"names a policy 'twice'.*a name that nobody has"),
    ],
)
def test_what_a_package_does_wrong_is_said_with_its_name(
    monkeypatch: pytest.MonkeyPatch, entries: list[tuple[str, str]], message: str
) -> None:
    known = registry(monkeypatch, *entries)
    with pytest.raises(PolicyError, match=message):
        known[entries[0][0]] if entries[0][0] == "broken" else list(known)
