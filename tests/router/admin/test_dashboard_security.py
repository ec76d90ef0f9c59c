"""The dashboard in a real Chromium, against foreign origins and hostile names, and behind a key."""

from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.router.browser import complaints, needs_chromium, requested
from tests.router.dashboard_page import Serve, open_page, state, table, text, texts, until
from tests.router.replay import ReplayControl, evaluated

pytestmark = needs_chromium
KEY = "correct-horse"
HOSTILE = "http://x/<img src=x onerror=document.title='owned'>\"'><script>document.title='owned'</script>"


def test_nothing_leaves_loopback_and_the_console_is_silent(browser: webdriver.Chrome, serve: Serve) -> None:
    served = serve(ReplayControl(moving=True))
    open_page(browser, served)
    first = text(browser, "#fresh")
    until(browser, lambda: text(browser, "#fresh") != first)
    asked = [address for address in requested(browser) if not address.startswith(("about:", "data:"))]
    assert len(asked) > 10
    assert {urlsplit(address).netloc for address in asked} == {f"127.0.0.1:{served.port}"}
    assert any("/history?after=" in address for address in asked)
    assert complaints(browser) == []


def test_the_page_may_not_speak_to_others(browser: webdriver.Chrome, serve: Serve, replayed: ReplayControl) -> None:
    """The policy of the page holds against code that got into it: no inline script, no other origin, be it loopback."""
    here, there = serve(replayed), serve(replayed)
    open_page(browser, here)
    script = """
        const done = arguments[1], kinds = [];
        addEventListener("securitypolicyviolation", (event) => kinds.push(event.effectiveDirective));
        const inline = document.createElement("script");
        inline.textContent = "document.title = 'owned'";
        document.head.append(inline);
        const image = new Image();
        image.src = arguments[0] + "page/icon.svg";
        fetch(arguments[0] + "health").then(() => done("reached"), () => setTimeout(() => done(kinds.sort()), 300));
    """
    refused = browser.execute_async_script(script, there.url)
    assert refused == ["connect-src", "img-src", "script-src-elem"]
    assert "owned" not in browser.title
    assert there.seen == []
    assert "/stats" in here.seen


def test_hostile_names_are_text(browser: webdriver.Chrome, serve: Serve, replayed: ReplayControl) -> None:
    replayed.names[0] = HOSTILE
    replayed.states[1] = "ejected"
    replayed.evaluation = evaluated(replayed)
    replayed.policy = replayed.evaluation["rows"][0]["policy"] = replayed.evaluation["model"] = HOSTILE
    open_page(browser, serve(replayed))
    assert table(browser, "workers")[0][0] == HOSTILE
    assert text(browser, "#policy") == HOSTILE
    until(browser, lambda: HOSTILE in text(browser, "#shadow-note"))
    assert table(browser, "shadow")[0][0] == HOSTILE
    assert texts(browser, ".heat .names .row")[0] == HOSTILE
    assert browser.find_elements(By.CSS_SELECTOR, "img, body script") == []
    assert not browser.title.startswith("owned")
    width, room = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert width <= room
    assert complaints(browser) == []


def test_the_key_is_asked_for_kept_in_the_tab_and_forgotten(
    browser: webdriver.Chrome, serve: Serve, replayed: ReplayControl
) -> None:
    open_page(browser, serve(replayed, admin_key=KEY), reaches="locked")
    assert not browser.find_element(By.ID, "content").is_displayed()
    field = browser.find_element(By.ID, "key")
    assert field.get_attribute("type") == "password"
    field.send_keys("wrong", Keys.ENTER)
    until(browser, lambda: "not the admin key" in text(browser, "#key-problem"))
    field.send_keys(KEY, Keys.ENTER)
    until(browser, lambda: state(browser) == "ready")
    assert text(browser, "#policy") == "bf_io"
    assert browser.execute_script("return [localStorage.length, document.cookie, sessionStorage.length]") == [0, "", 1]
    assert not any(KEY in address for address in requested(browser))
    browser.refresh()
    until(browser, lambda: state(browser) == "ready")
    browser.find_element(By.ID, "forget").click()
    until(browser, lambda: state(browser) == "locked")
    assert browser.execute_script("return sessionStorage.length") == 0
