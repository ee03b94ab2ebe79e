"""A tab of Chromium, driven over the DevTools protocol, for tests of the page: what people see, type and press."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.waiting import PATIENCE, finish

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0",
)  # fmt: skip
DRAWN = "document.querySelector('#content[aria-busy=false]') && !document.querySelector('#content .empty[role=status]')"
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27}


class Tab:
    """One page of a browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._number = socket, 0

    def send(self, method: str, **params: Any) -> Any:
        """The result of a command of the protocol."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            told = json.loads(self._socket.recv(timeout=PATIENCE))
            if told.get("id") == self._number:
                assert "error" not in told, told["error"]
                return told["result"]

    def do(self, script: str) -> Any:
        """The value of an expression in the page; of what it promises."""
        found = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, script: str) -> None:
        """Return once an expression is true."""
        end = time.monotonic() + PATIENCE / 2
        while not self.do(f"!!({script})"):
            assert time.monotonic() < end, f"{script}\n{self.do('document.body.outerHTML')[-4000:]}"
            time.sleep(0.02)

    def go(self, url: str) -> None:
        """Leave for an address, as one who follows a link from elsewhere does."""
        self.send("Page.navigate", url="about:blank")
        self.until("location.href === 'about:blank'")
        self.send("Page.navigate", url=url)
        self.until(f"location.href.startsWith({json.dumps(url[:16])}) && document.readyState === 'complete'")

    def open(self, url: str) -> None:
        """Go to an address and wait until the page has drawn it."""
        self.go(url)
        self.until(DRAWN)

    def document(self, url: str) -> str:
        """The document at an address after its scripts have run."""
        self.open(url)
        return str(self.do("document.documentElement.outerHTML"))

    def text(self, selector: str) -> str:
        """What an element says; fails where there is none."""
        return str(self.do(f"document.querySelector({json.dumps(selector)}).innerText"))

    def press(self, key: str, modifiers: int = 0) -> None:
        """Press a key and let it go."""
        named = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key], "modifiers": modifiers}
        more = {"text": "\r"} if key == "Enter" else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", **named, **more)
        self.send("Input.dispatchKeyEvent", type="keyUp", **named)

    def screen(self, width: int, dark: bool = False) -> None:
        """Look at it on a screen of this width."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])


@contextlib.contextmanager
def browser(profile: Path) -> Iterator[Tab]:
    """A browser while the context is open; ``profile`` is a folder of its own."""
    process = subprocess.Popen(
        [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with connect(_socket_of(profile / "DevToolsActivePort", process), max_size=None, proxy=None) as socket:
            tab = Tab(socket)
            tab.send("Page.enable")
            tab.screen(1280)
            yield tab
    finally:
        finish(process)


def _socket_of(told: Path, process: subprocess.Popen[bytes]) -> str:
    end = time.monotonic() + PATIENCE
    while not told.is_file() or "\n" not in told.read_text():
        assert process.poll() is None
        assert time.monotonic() < end, "the browser does not start"
        time.sleep(0.02)
    port = told.read_text().split()[0]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/json", timeout=30) as answer:
        return next(str(one["webSocketDebuggerUrl"]) for one in json.load(answer) if one["type"] == "page")
