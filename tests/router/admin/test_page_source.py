"""The page's files as they are shipped: nothing foreign, and no way for text to become markup or code."""

import re

import pytest

from shadowprice.router.admin.app import PAGE_FILES

SVG = "http://www.w3.org/2000/svg"  # a name, not an address
TEXTS = {name: body.decode() for name, (body, _) in PAGE_FILES.items()}


@pytest.mark.parametrize("name", TEXTS)
def test_no_file_names_a_foreign_address(name: str) -> None:
    addresses = re.findall(r"(?:https?:)?//[\w.-]+[^\s\"'`)]*", re.sub(r"^\s*//.*", "", TEXTS[name], flags=re.M))
    assert set(addresses) <= {SVG, "http://host:port"}
    assert "@import" not in TEXTS[name]


@pytest.mark.parametrize("name", [name for name in TEXTS if name.endswith((".js", ".html"))])
def test_text_never_becomes_markup_or_code(name: str) -> None:
    for way in (
        r"innerHTML",
        r"outerHTML",
        r"insertAdjacentHTML",
        r"document\.write",
        r"\beval\b",
        r"new Function",
        r"\bstyle=",
    ):
        assert not re.search(way, TEXTS[name]), way
    assert not re.search(r"\son\w+=", TEXTS[name])
    assert "localStorage" not in TEXTS[name]
    assert "cookie" not in TEXTS[name]


def test_every_import_is_a_file_of_the_page() -> None:
    imported = {target for text in TEXTS.values() for target in re.findall(r'from "\./([\w.]+)"', text)}
    assert imported
    linked = set(re.findall(r'(?:src|href)="/page/([\w.]+)"', TEXTS["dashboard.html"]))
    assert imported | linked | {"dashboard.html"} == set(TEXTS)
