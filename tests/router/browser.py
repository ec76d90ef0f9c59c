"""A headless Chromium that knows loopback only, and the admin port served from a thread for it to look at."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from shadowprice.router.admin.app import admin_app
from shadowprice.router.admin.control import Control

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-pings",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
needs_chromium = pytest.mark.skipif(
    not (CHROMIUM.exists() and DRIVER.exists()), reason=f"no {CHROMIUM} with {DRIVER} on this machine"
)


@contextmanager
def chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        driver.set_page_load_timeout(60)
        driver.set_script_timeout(30)
        yield driver
    finally:
        driver.quit()


def look_as(driver: webdriver.Chrome, width: int, height: int, scheme: str = "light") -> None:
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def requested(driver: webdriver.Chrome) -> list[str]:
    """Addresses of the requests since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


def complaints(driver: webdriver.Chrome) -> list[str]:
    """What the console has to say since the last call."""
    return [entry["message"] for entry in driver.get_log("browser")]


def contrasts(driver: webdriver.Chrome) -> dict[str, float]:
    """Contrast (WCAG 2) of each text colour on the paper behind it, by a text that has it."""
    return dict(driver.execute_script(CONTRASTS))


CONTRASTS = """
    const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
    const light = (text) => {
      const [red, green, blue] = numbers(text).map(channel);
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const paper = (node) => {
      for (let at = node; at; at = at.parentElement) {
        const colour = getComputedStyle(at).backgroundColor;
        if ((numbers(colour)[3] ?? 1) > 0) return colour;
      }
      return "rgb(255, 255, 255)";
    };
    const found = {}, seen = new Set();
    for (const node of document.querySelectorAll("body *")) {
      const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
      if (!own || node.getClientRects().length === 0) continue;
      const style = getComputedStyle(node);
      const ink = node instanceof SVGElement ? style.fill : style.color, behind = paper(node);
      if (seen.has(ink + behind + node.tagName)) continue;
      seen.add(ink + behind + node.tagName);
      const [a, b] = [light(ink), light(behind)].sort((x, y) => y - x);
      found[`${node.tagName} ${node.textContent}`] = (a + 0.05) / (b + 0.05);
    }
    return found;
"""


def overlaps(driver: webdriver.Chrome) -> list[str]:
    """Texts of a chart that touch another one or leave the chart."""
    return list(driver.execute_script(OVERLAPS))


OVERLAPS = """
    const touch = (p, q) => p.left < q.right && q.left < p.right && p.top < q.bottom - 3 && q.top < p.bottom - 3;
    const found = [];
    for (const chart of document.querySelectorAll("svg.chart")) {
      const box = chart.getBoundingClientRect();
      const texts = [...chart.querySelectorAll("text")].map((node) => [node.textContent, node.getBoundingClientRect()]);
      texts.forEach(([a, p], i) => {
        if (p.left < box.left - 1 || p.right > box.right + 1) found.push(a);
        for (const [b, q] of texts.slice(i + 1)) if (touch(p, q)) found.push(`${a} over ${b}`);
      });
    }
    return found;
"""


class Served:
    """The admin app on a loopback port, in a thread and loop of its own, until `stop`; seen: paths asked for."""

    def __init__(self, control: Control, admin_key: str | None = None) -> None:
        self.loop = asyncio.new_event_loop()
        self.seen: list[str] = []
        app = admin_app(control, admin_key=admin_key)
        app.on_response_prepare.append(self._note)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.port = self._run(self._start())
        self.url = f"http://127.0.0.1:{self.port}/"

    def stop(self) -> None:
        if self.thread.is_alive():
            self._run(self.runner.cleanup())
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(10)
            self.loop.close()

    async def _note(self, request: web.Request, response: web.StreamResponse) -> None:
        self.seen.append(request.path)

    async def _start(self) -> int:
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        port: int = self.runner.addresses[0][1]
        return port

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)
