"""Drives a headless Chromium through chromedriver, by the WebDriver protocol."""

import base64
import shutil
from pathlib import Path
from typing import Any

import httpx

from tests.stack import wait_until
from twit.local.net import LOOPBACK, free_port
from twit.local.process import Child

DESKTOP = (1280, 800)
IS_INSTALLED = bool(shutil.which("chromedriver"))
# Root needs the first two. The next three keep Chromium from calling its maker. Without the last
# one, a page that was left keeps its connections.
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--headless=new", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--no-first-run"),
    "--disable-features=BackForwardCache",
]


class Browser:
    """One window. Elements are named by CSS selectors."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        log = folder / "chromedriver.log"
        self._driver = Child("chromedriver", ["chromedriver", f"--port={port}"], log=log)
        self._http = httpx.Client(base_url=f"http://{LOOPBACK}:{port}", timeout=60, trust_env=False)
        self._driver.wait_for(lambda: self._http.get("/status"), httpx.TransportError)
        options = {"goog:chromeOptions": {"args": FLAGS}, "goog:loggingPrefs": {"browser": "ALL"}}
        self._session = ""
        started = self._ask("/session", capabilities={"alwaysMatch": options})
        self._session = f"/session/{started['sessionId']}"

    def _ask(self, path: str, **body: object) -> Any:
        answer = self._http.post(self._session + path, json=body)
        assert answer.is_success, answer.text
        return answer.json()["value"]

    def open(self, address: str) -> None:
        self._ask("/url", url=address)

    def run(self, script: str, *arguments: str) -> Any:
        """Return what the JavaScript returns."""
        return self._ask("/execute/sync", script=script, args=arguments)

    def text(self, selector: str) -> str:
        """Return the element's text, once the element is there."""
        script = "return document.querySelector(arguments[0])?.textContent"
        wait_until(lambda: self.run(script, selector) is not None)
        return str(self.run(script, selector))

    def click(self, selector: str) -> None:
        """Click on the element, once it is there."""
        self.text(selector)
        self.run("document.querySelector(arguments[0]).click()", selector)

    def fill(self, selector: str, text: str) -> None:
        """Replace the text of an input."""
        script = "const [at, text] = arguments; const input = document.querySelector(at);"
        script += "input.value = text; input.dispatchEvent(new Event('input', {bubbles: true}))"
        self.run(script, selector, text)

    def texts(self, selector: str) -> list[str]:
        """Return the texts of all such elements that are there now."""
        script = "return Array.from(document.querySelectorAll(arguments[0]), e => e.textContent)"
        return list(self.run(script, selector))

    def size(self, width: int, height: int, *, is_dark: bool = False) -> None:
        """Give the page that many pixels, and a user who prefers it light or dark."""
        self._command("Emulation.setScrollbarsHidden", hidden=True)
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._command("Emulation.setDeviceMetricsOverride", **size)
        wishes = {
            "prefers-color-scheme": "dark" if is_dark else "light",
            "prefers-reduced-motion": "reduce",  # pictures would show an animation half-way
        }
        features = [{"name": name, "value": value} for name, value in wishes.items()]
        self._command("Emulation.setEmulatedMedia", features=features)

    def _command(self, name: str, **parameters: object) -> None:
        self._ask("/goog/cdp/execute", cmd=name, params=parameters)

    def forget(self) -> None:
        """Open a new window, with an empty console and without cookies."""
        new = self._ask("/window/new", type="tab")
        self._http.delete(f"{self._session}/window").raise_for_status()
        self._ask("/window", handle=new["handle"])
        self._command("Network.clearBrowserCookies")
        self.console()

    def picture(self) -> bytes:
        """Return what is in sight, as PNG."""
        answer = self._http.get(f"{self._session}/screenshot").raise_for_status()
        return base64.b64decode(answer.json()["value"])

    def console(self) -> str:
        """Return the console's messages since the last call."""
        return "\n".join(entry["message"] for entry in self._ask("/se/log", type="browser"))

    def stop(self) -> None:
        self._http.delete(self._session)
        self._http.close()
        self._driver.stop()
