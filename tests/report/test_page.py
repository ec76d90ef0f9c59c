"""The page: complete, self-contained, escaped."""

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from shadowprice.audit import DECISIONS, Audit, Case, Finding, audit
from shadowprice.audit.words import number, percent
from shadowprice.certificate import Certificate
from shadowprice.errors import ShadowpriceError
from shadowprice.report import page_html, write_page
from tests.audit.small_cases import small_fleet, small_trace

ODD_NAME = 'a<script>alert("x")</script>&\'$_^{2}'
ADDRESSES = {"src", "href", "srcset", "action", "data", "poster", "formaction", "xlink:href", "background"}
WITHOUT_END = {"meta", "link", "br", "img", "input", "hr", "base", "use", "path"}


class Page(HTMLParser):
    """Collects what the tests ask about, and checks that elements nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.cells: list[str] = []
        self.labels: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.addresses += [value for name, value in given.items() if name in ADDRESSES]
        self.labels += [given["aria-label"]] if tag == "svg" else []
        if tag in ("td", "th"):
            self.cells.append("")
        if tag not in WITHOUT_END:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in WITHOUT_END:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in WITHOUT_END:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.cells[-1] += data


@pytest.fixture(scope="module")
def result() -> Audit:
    trace = replace(small_trace(), name=ODD_NAME, notes=("<i>note</i>",))
    return audit(trace, replace(small_fleet(workers=2), name="<fleet>", step_time_note="<b>"), [0.5, 1.5])


@pytest.fixture(scope="module")
def page(result: Audit) -> str:
    return page_html(result)


@pytest.fixture(scope="module")
def markup(page: str) -> str:
    """The page without its heat maps' pixels: they are in it as data, which may read as anything."""
    return re.sub(r"data:image/png;base64,[A-Za-z0-9+/=\s]*", "#summary", page)


def test_nothing_is_loaded_from_elsewhere(markup: str) -> None:
    parsed = Page(markup)
    assert parsed.addresses and all(address.startswith("#") for address in parsed.addresses)
    assert not {"script", "link", "img", "iframe", "object", "embed"} & set(parsed.tags)
    assert "//" not in re.sub(r"</?[a-z]", "", markup) and "@import" not in markup
    assert all(target.startswith("#") for target in re.findall(r"url\(['\"]?([^)]*)", markup))


def test_every_certificate_is_there(page: str, result: Audit) -> None:
    cells = Page(page).cells
    for finding in result.findings:
        for certificate in finding.certificates:
            assert certificate.bound is not None and certificate.gap is not None
            wanted = [number(certificate.value), number(certificate.bound), percent(certificate.gap)]
            rows = [
                i for i, cell in enumerate(cells) if re.sub("(today|best listed)+$", "", cell) == certificate.policy
            ]
            assert any(cells[i + 1 : i + 4] == wanted for i in rows), certificate


def test_advice_and_model_are_there(page: str, result: Audit) -> None:
    text = unescape(page)
    for finding in result.findings:
        assert finding.of(finding.today).advice in text and finding.certificates[0].model in text


def test_names_and_notes_are_escaped(page: str) -> None:
    assert "<script" not in page and "<fleet>" not in page and "<i>note" not in page
    assert ODD_NAME in unescape(page)


def test_ids_are_unique_and_links_lead_somewhere(markup: str) -> None:
    parsed = Page(markup)
    assert len(parsed.ids) == len(set(parsed.ids))
    assert {address[1:] for address in parsed.addresses} <= set(parsed.ids)
    assert set(re.findall(r"url\(#([^)]*)\)", markup)) <= set(parsed.ids)


def test_plots_are_labelled_and_coloured_by_the_page(page: str) -> None:
    parsed = Page(page)
    assert len(parsed.labels) >= 2 * 5 and all(parsed.labels)
    assert "#0102" not in page and "var(--best)" in page and "DejaVu" not in page


def test_the_same_audit_gives_the_same_page(page: str, result: Audit) -> None:
    assert page_html(result) == page


def test_a_decision_without_served_requests_and_without_a_bound_has_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    def certify(case: Case) -> Finding:
        row = Certificate("colour", "regret", "J", "cost", "red", 3.0, None, "", "paint", 0.1, case.load, "Paint it.")
        return Finding("colour", case, (row,), "red", "red")

    monkeypatch.setitem(DECISIONS, "colour", certify)
    page = page_html(audit(small_trace(), small_fleet()))
    assert "none proved" in page and "Paint it." in page


@pytest.mark.parametrize("n", [1, 3])
def test_tiny_traces_have_a_page(n: int) -> None:
    Page(page_html(audit(small_trace(n), small_fleet(workers=2))))


def test_write_page_names_the_file_it_cannot_write(result: Audit, page: str, tmp_path: Path) -> None:
    write_page(result, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page
    with pytest.raises(ShadowpriceError, match=r"missing.*cannot be written"):
        write_page(result, tmp_path / "missing" / "page.html")
