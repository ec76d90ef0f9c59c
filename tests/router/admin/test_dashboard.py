"""The dashboard in a real Chromium, against the real admin port and a run of the simulator."""

import threading
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.router.browser import complaints, contrasts, look_as, needs_chromium, overlaps
from tests.router.dashboard_page import WAIT_S, Serve, digits, open_page, state, table, text, texts, until
from tests.router.replay import WORKERS, ReplayControl, evaluated

pytestmark = needs_chromium
DASH = "\N{EN DASH}"


def test_numbers_shown_are_those_of_the_snapshot(
    browser: webdriver.Chrome, serve: Serve, replayed: ReplayControl
) -> None:
    open_page(browser, serve(replayed))
    snapshot = replayed.snapshot()
    assert text(browser, "#policy") == "bf_io"
    assert text(browser, "#state") == "serving"
    assert text(browser, "#workers-up") == "8 of 8"
    assert text(browser, "#uptime") == "10 min 20 s"
    rows = table(browser, "workers")
    for row, worker in zip(rows, snapshot["workers"], strict=True):
        assert row[:3] == [worker["name"], "up", ""]
        running, slots, waiting, kv = map(digits, row[3:7])
        assert [running, slots, waiting, kv] == [worker[name] for name in ("running", "slots", "waiting", "kv_tokens")]
        assert row[7] == f"{100 * worker['kv_tokens'] / worker['kv_capacity_tokens']:.1f} %"
        assert row[8] == f"{1000 * worker['step_time_s']:.1f} ms"
        totals = ("requests_total", "errors_total", "retries_total", "prompt_tokens_total", "generated_tokens_total")
        assert [digits(cell) for cell in row[9:]] == [worker[name] for name in totals]
    now = dict(zip(texts(browser, "#charts .chart-head h2"), texts(browser, "#charts .now"), strict=True))
    assert now["Requests"] == f"in flight{snapshot['in_flight']}queued{snapshot['queue']['requests']}"
    assert now["Idle share"] == f"{100 * snapshot['idle_share']:.1f} %"
    assert now["Imbalance"] == f"{snapshot['imbalance_tokens']:,.0f} tok"
    assert now["TPOT"] == "".join(f"p{q}{1000 * replayed.history()[f'tpot_p{q}_s'][-1]:.1f} ms" for q in (50, 99))
    assert [row[-1] for row in table(browser, "latency")] == [f"{snapshot['latency']['e2e_s']['count']:,}"] * 3
    refused = {row[0]: row[1] for row in table(browser, "refused")}
    assert refused["queue full"] == f"{snapshot['refused_total']['queue_full']:,}"
    assert digits(refused["queue full"]) > 0
    heat = texts(browser, ".heat .numbers .row")
    assert [digits(shown) for shown in heat] == [worker["kv_tokens"] for worker in snapshot["workers"]]


def test_samples_that_come_join_those_held(browser: webdriver.Chrome, serve: Serve) -> None:
    control = ReplayControl(moving=True, second=30)
    open_page(browser, serve(control))
    spent = browser.execute_script("return document.querySelectorAll('svg.chart path')[0].getAttribute('d')").count("L")
    assert 29 <= spent <= 40
    script = "return document.querySelectorAll('svg.chart path')[0].getAttribute('d')"
    until(browser, lambda: browser.execute_script(script).count("L") >= spent + 2)
    assert browser.execute_script(script).count("M") == 1


def test_every_policy_stands_beside_the_active_one(
    browser: webdriver.Chrome, serve: Serve, replayed: ReplayControl
) -> None:
    shadow = replayed.evaluation = evaluated(replayed)
    shadow["model_error"] |= {"ttft_p99_s": None, "tpot_s": -0.0312}
    open_page(browser, serve(replayed))
    until(browser, lambda: shadow["model"] in text(browser, "#shadow-note"))
    assert f"Simulated on {shadow['requests']:,} requests over 1 min 0 s" in text(browser, "#shadow-note")
    assert shadow["bound_method"] in text(browser, "#shadow-note")
    assert "Time of all steps" in texts(browser, "#shadow thead th")
    rows = {row[0]: row[1:] for row in table(browser, "shadow")}
    for scored in shadow["rows"]:
        row = rows[scored["policy"] + (" (active)" if scored["policy"] == "bf_io" else "")]
        assert row[:3] == [f"{scored['value']:.1f} s", f"{scored['bound']:.1f} s", f"+{100 * scored['gap']:.1f} %"]
        assert row[3] == f"{100 * scored['idle_share']:.1f} %"
        assert row[6] == f"{1000 * scored['tpot_s']:.1f} ms"
    assert texts(browser, "tr.active th") == ["bf_io (active)"]
    least = min(row["value"] for row in shadow["rows"])
    assert len(texts(browser, "tr.best th")) == sum(row["value"] == least for row in shadow["rows"])
    assert rows["measured"][6] == f"{1000 * shadow['measured']['tpot_s']:.1f} ms"
    assert rows["measured"][:4] == [DASH] * 4
    assert rows["simulation error"][5:7] == [DASH, "-3.1 %"]


def test_policies_without_a_bound_have_no_gap(browser: webdriver.Chrome, serve: Serve, replayed: ReplayControl) -> None:
    shadow = replayed.evaluation = evaluated(replayed)
    for row in shadow["rows"]:
        row |= {"bound": None, "gap": None}
    shadow["last_error"] = "the evaluating process died"
    open_page(browser, serve(replayed))
    until(browser, lambda: "Simulated" in text(browser, "#shadow-note"))
    assert {tuple(row[2:4]) for row in table(browser, "shadow")} == {(DASH, DASH)}
    assert text(browser, "#shadow-error") == "The last evaluation failed: the evaluating process died"


def test_before_there_is_an_evaluation_the_page_says_so(
    browser: webdriver.Chrome, serve: Serve, replayed: ReplayControl
) -> None:
    open_page(browser, serve(replayed))
    until(browser, lambda: text(browser, "#shadow-note").startswith("Collecting: "))
    assert "of 100,000 requests" in text(browser, "#shadow-note")
    assert not browser.find_element(By.ID, "shadow").is_displayed()


def test_a_router_that_has_seen_nothing(browser: webdriver.Chrome, serve: Serve, replayed: ReplayControl) -> None:
    empty = {"p50": None, "p90": None, "p99": None, "count": 0}
    snapshot = replayed.snapshot() | {"workers": [], "latency": dict.fromkeys(("ttft_s", "tpot_s", "e2e_s"), empty)}
    history = {name: [] for name in replayed.history()}
    replayed.snapshot = lambda: snapshot  # type: ignore[method-assign]
    replayed.history = lambda: history  # type: ignore[method-assign]
    open_page(browser, serve(replayed))
    assert browser.find_element(By.ID, "no-workers").is_displayed()
    assert table(browser, "latency") == [[name, DASH, DASH, DASH, "0"] for name in ("TTFT", "TPOT", "E2E")]
    assert set(texts(browser, "#charts .now b")) == {DASH}
    assert "NaN" not in browser.find_element(By.TAG_NAME, "body").get_attribute("innerHTML")
    assert complaints(browser) == []


def test_what_decides_while_the_policy_is_being_compiled_is_told(
    browser: webdriver.Chrome, serve: Serve, replayed: ReplayControl
) -> None:
    kernels = {"state": "compiling", "error": "", "decides": "a plain rule"}
    snapshot = replayed.snapshot() | {"policy": "bf_io", "kernels": kernels}
    replayed.snapshot = lambda: snapshot  # type: ignore[method-assign]
    open_page(browser, serve(replayed))
    assert text(browser, "#policy") == "bf_io (until it is compiled: a plain rule)"
    assert complaints(browser) == []


def test_the_page_says_when_the_router_does_not_answer(
    browser: webdriver.Chrome, serve: Serve, replayed: ReplayControl
) -> None:
    served = serve(replayed)
    open_page(browser, served)
    served.stop()
    until(browser, lambda: state(browser) == "failed")
    failure = browser.find_element(By.ID, "failure")
    assert failure.is_displayed()
    assert failure.get_attribute("role") == "alert"
    assert failure.text.startswith("The router does not answer")
    assert text(browser, "#state") == "no answer"
    assert len(table(browser, "workers")) == WORKERS


def test_the_page_says_when_the_router_hangs(browser: webdriver.Chrome, serve: Serve, replayed: ReplayControl) -> None:
    wake, whole = threading.Event(), replayed.snapshot

    def hang() -> dict[str, Any]:
        wake.wait(WAIT_S)
        return whole()

    open_page(browser, serve(replayed))
    replayed.snapshot = hang  # type: ignore[method-assign]
    until(browser, lambda: state(browser) == "failed")
    wake.set()
    assert "nothing within 5 s" in text(browser, "#failure")
    until(browser, lambda: state(browser) == "ready")


def test_the_page_comes_back_with_the_router(browser: webdriver.Chrome, serve: Serve, replayed: ReplayControl) -> None:
    whole = replayed.snapshot

    def broken() -> dict[str, Any]:
        raise RuntimeError("restarting")

    open_page(browser, serve(replayed))
    replayed.snapshot = broken  # type: ignore[method-assign]
    until(browser, lambda: state(browser) == "failed")
    assert "answered /stats with 500" in text(browser, "#failure")
    replayed.snapshot = whole  # type: ignore[method-assign]
    until(browser, lambda: state(browser) == "ready")


def test_a_chart_tells_the_numbers_of_another_second(
    browser: webdriver.Chrome, serve: Serve, replayed: ReplayControl
) -> None:
    open_page(browser, serve(replayed))
    chart = browser.find_elements(By.CSS_SELECTOR, "svg.chart")[0]
    assert chart.get_attribute("aria-label").startswith("Requests: in flight now ")
    browser.execute_script("arguments[0].focus()", chart)
    for _ in range(3):
        chart.send_keys(Keys.ARROW_LEFT)
    history = replayed.history()
    shown = texts(browser, "#charts .now")[:3]
    assert shown[0] == f"in flight{history['in_flight'][-4]}queued{history['queue'][-4]}"
    assert shown[2] == f"{history['imbalance_tokens'][-4]:,.0f} tok"
    assert [digits(t) for t in texts(browser, ".heat .numbers .row")] == history["kv_tokens"][-4]


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_is_legible(
    width: int, height: int, scheme: str, browser: webdriver.Chrome, serve: Serve, replayed: ReplayControl
) -> None:
    look_as(browser, width, height, scheme)
    open_page(browser, serve(replayed))
    total, room = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert total <= room
    found = contrasts(browser)
    assert len(found) > 8
    for words, contrast in found.items():
        assert contrast >= 4.5, f"{words!r} stands out by {contrast:.1f} only"
    assert overlaps(browser) == []
