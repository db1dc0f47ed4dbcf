"""Debian's Chromium without a screen, driven by chromedriver's own protocol (WebDriver)."""

import base64
import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any

import pytest

needs_browser = pytest.mark.skipif(not shutil.which("chromedriver"), reason="there is no chromium-driver")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # WebDriver's own key of a reference
ARGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SECONDS = 30


class Browser:
    """A session with one window."""

    def __init__(self, url: str) -> None:
        self.url = url
        options = {"goog:chromeOptions": {"args": ARGS}, "goog:loggingPrefs": {"browser": "ALL"}}
        self.url += f"/session/{self._post('session', capabilities={'alwaysMatch': options})['sessionId']}"

    def open(self, url: str) -> None:
        self._post("url", url=url)

    def run(self, script: str, *args: object) -> Any:
        """Return what a script returns."""
        return self._post("execute/sync", script=script, args=args)

    def wait_for(self, script: str) -> Any:
        """Return what a script returns once that is true."""
        end = monotonic() + SECONDS
        while not (value := self.run(script)):
            assert monotonic() < end, f"{script}: {self.run('return document.body.innerText')}"
            sleep(0.05)
        return value

    def draw(self, selector: str, *points: tuple[int, int]) -> None:
        """Draw a line on an element; points are relative to its middle."""
        element = self._post("element", using="css selector", value=selector)
        moves = [{"type": "pointerMove", "origin": element, "x": x, "y": y, "duration": 20} for x, y in points]
        actions = [moves[0], {"type": "pointerDown", "button": 0}, *moves[1:], {"type": "pointerUp", "button": 0}]
        self._post("actions", actions=[{"type": "pointer", "id": "pen", "actions": actions}])

    def choose(self, selector: str, path: object) -> None:
        """Choose a file in an input element."""
        element = self._post("element", using="css selector", value=selector)[ELEMENT]
        self._post(f"element/{element}/value", text=str(path))

    def emulate(self, width: int, scheme: str, height: int = 900) -> None:
        """Show pages at a size in pixels, in a "light" or "dark" color scheme."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._post("goog/cdp/execute", cmd="Emulation.setDeviceMetricsOverride", params=metrics)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._post("goog/cdp/execute", cmd="Emulation.setEmulatedMedia", params={"features": features})

    def screenshot(self) -> bytes:
        """Return what is shown as PNG."""
        return base64.b64decode(self._post("goog/cdp/execute", cmd="Page.captureScreenshot", params={})["data"])

    def complaints(self) -> list[str]:
        """Return what is on the console."""
        return [entry["message"] for entry in self._post("se/log", type="browser")]

    def _post(self, path: str, **body: object) -> Any:
        content = json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/{path}", content, {"Content-Type": "application/json"})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310  # on loopback
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{path}: {error.read().decode()[:500]}") from error


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Chromium, and end it."""
    driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
    assert driver.stdout
    try:
        port = next(line.rsplit(" ", 1)[1].strip(". \n") for line in driver.stdout if "started successfully" in line)
        session = Browser(f"http://127.0.0.1:{port}")
        yield session
        request = urllib.request.Request(session.url, method="DELETE")  # noqa: S310
        urllib.request.urlopen(request, timeout=SECONDS).close()  # noqa: S310
    finally:
        driver.terminate()
        driver.wait()
        driver.stdout.close()
