"""A headless Chromium, driven over HTTP as the W3C's WebDriver has it: no package is needed.

Comes in: a page's file, a width, a theme, a medium. Goes out: what a script finds there, and PNG
pictures. Promise: nothing but the page is loaded, and the browser ends with the `with` block.
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def missing() -> str:
    """Why no browser can be driven here; empty where one can."""
    if shutil.which("chromedriver") is None:
        return "no chromedriver is installed (apt-get install chromium chromium-driver)"
    return "" if _browser() else "no Chromium is installed"


def _browser() -> str | None:
    return next(filter(None, map(shutil.which, BROWSERS)), None)


class Chromium:
    """A session: see `chromium`."""

    def __init__(self, address: str) -> None:
        self._address = address
        options = {
            "binary": _browser(),
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                     "--disable-dev-shm-usage", "--force-color-profile=srgb"],
        }  # fmt: skip
        asked = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
        self._session = _post(f"{address}/session", asked)["sessionId"]

    def show(self, page: Path, width: int, theme: str, medium: str = "screen") -> None:
        """Open a file in a window of so many CSS pixels."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.tell("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self.tell("Emulation.setEmulatedMedia", media=medium, features=features)
        self._ask("url", url=page.resolve().as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        """What a function body returns in the page."""
        return self._ask("execute/sync", script=script, args=list(arguments))

    def press(self, key: str) -> None:
        """A key, as a person presses it."""
        self.tell(
            "Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=9
        )
        self.tell("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)

    def picture(self, path: Path) -> None:
        """The whole page as a PNG."""
        shot = self.tell("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def tell(self, command: str, **parameters: Any) -> Any:
        """A command of the Chrome DevTools protocol."""
        return self._ask("goog/cdp/execute", cmd=command, params=parameters)

    def _ask(self, what: str, **body: Any) -> Any:
        return _post(f"{self._address}/session/{self._session}/{what}", body)

    def end(self) -> None:
        """Close the browser."""
        address = f"{self._address}/session/{self._session}"
        urllib.request.urlopen(urllib.request.Request(address, method="DELETE"), timeout=20).close()


def _post(address: str, body: Any) -> Any:
    headers = {"Content-Type": "application/json"}
    asked = urllib.request.Request(address, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(asked, timeout=120) as answer:
        return json.load(answer)["value"]


@contextmanager
def chromium() -> Iterator[Chromium]:
    """Start a driver on a free port, and a browser."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home}
        environment = {k: v for k, v in environment.items() if not k.lower().endswith("_proxy")}
        driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True, env=environment
        )
        try:
            browser = Chromium(f"http://127.0.0.1:{_port(driver)}")
            try:
                yield browser
            finally:
                with suppress(OSError):
                    browser.end()
        finally:
            driver.terminate()
            driver.wait(timeout=20)


def _port(driver: "subprocess.Popen[str]") -> int:
    """`ChromeDriver was started successfully on port 43211.`"""
    assert driver.stdout is not None
    for line in driver.stdout:
        if "successfully on port" in line:
            return int(line.rstrip(".\n").rpartition(" ")[2])
    raise RuntimeError("chromedriver did not start")
