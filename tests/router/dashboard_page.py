"""The dashboard as a browser has it open: waiting for it, and reading what it shows."""

from collections.abc import Callable
from typing import Any

from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

from tests.router.browser import Served

WAIT_S = 40
Serve = Callable[..., Served]


def state(browser: webdriver.Chrome) -> str:
    return str(browser.execute_script("return document.body.dataset.state"))


def until(browser: webdriver.Chrome, true: Callable[[], Any]) -> None:
    WebDriverWait(browser, WAIT_S, 0.1).until(lambda _: true())


def open_page(browser: webdriver.Chrome, served: Served, reaches: str = "ready") -> None:
    browser.get(served.url)
    until(browser, lambda: state(browser) == reaches)


def text(browser: webdriver.Chrome, selector: str) -> str:
    return str(browser.execute_script("return document.querySelector(arguments[0]).textContent", selector))


def texts(browser: webdriver.Chrome, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map((node) => node.textContent)"
    return list(browser.execute_script(script, selector))


def table(browser: webdriver.Chrome, name: str) -> list[list[str]]:
    script = """
        const rows = [...document.getElementById(arguments[0]).tBodies[0].rows];
        return rows.map((row) => [...row.cells].map((cell) => cell.textContent));
    """
    return list(browser.execute_script(script, name))


def digits(shown: str) -> int:
    return int(shown.replace(",", "").removesuffix(" tok"))
