"""Headless Chromium by its DevTools protocol over a pipe: what a person sees, and what a screen reader is told."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class Browser:
    """A browser with a profile of its own; `page()` opens one page."""

    def __init__(self, profile: Path) -> None:
        program = shutil.which("chromium") or shutil.which("google-chrome")
        assert program, "no chromium; `make end-to-end` installs it"
        # Chromium reads commands at descriptor 3 and writes answers to 4.
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        commands, answers = (fcntl.fcntl(descriptor, fcntl.F_DUPFD, 20) for descriptor in (commands, answers))

        def place() -> None:
            os.dup2(commands, 3)
            os.dup2(answers, 4)

        arguments = ["--headless=new", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run"]
        # Tests run as root, and in containers whose /dev/shm is small.
        arguments += [
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-proxy-server",
        ]
        with (profile.parent / "chromium.err").open("wb") as errors:
            self._process = subprocess.Popen(
                [program, *arguments, "about:blank"],
                pass_fds=(3, 4),
                preexec_fn=place,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        os.close(commands)
        os.close(answers)
        self._unread = b""
        self._number = 0
        self.events: list[Json] = []

    def send(self, method: str, session: str | None = None, /, **parameters: Any) -> Json:
        """Sends a command and returns its result."""
        self._number += 1
        message: Json = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                result: Json = answer["result"]
                return result
            self.events.append(answer)

    def _read(self, seconds: float = 60) -> Json:
        deadline = time.monotonic() + seconds
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._answers], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"chromium said nothing for {seconds} s"
            piece = os.read(self._answers, 1 << 20)
            assert piece, "chromium ended"
            self._unread += piece
        text, self._unread = self._unread.split(b"\0", 1)
        message: Json = json.loads(text)
        return message

    def page(self, *, dark: bool = False, width: int = 1280, height: int = 900, still: bool = True) -> Page:
        """A new, empty page that prefers dark or light, and no motion if `still`."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Page(self, session, dark=dark, width=width, height=height, still=still)

    def close(self) -> None:
        """Ends it."""
        os.close(self._commands)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._answers)


class Page:
    """One page."""

    def __init__(self, browser: Browser, session: str, *, dark: bool, width: int, height: int, still: bool) -> None:
        self._browser = browser
        self._session = session
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.send("Accessibility.enable")
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"},
        ]
        self.send("Emulation.setEmulatedMedia", features=features)
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    def send(self, method: str, **parameters: Any) -> Json:
        """A command to this page."""
        return self._browser.send(method, self._session, **parameters)

    def open(self, url: str) -> None:
        """Goes there, and returns when everything is loaded; what the page fetches itself may still be to come."""
        answer = self.send("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        self.wait(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, promises awaited."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, script: str, seconds: float = 20) -> None:
        """Until the expression is true."""
        deadline = time.monotonic() + seconds
        while not self.run(script):
            assert time.monotonic() < deadline, (
                f"waited {seconds} s in vain for {script}; complaints: {self.complaints}"
            )
            time.sleep(0.05)

    def text(self, selector: str) -> str:
        """What is to be read there."""
        found: str = self.run(f"document.querySelector({json.dumps(selector)}).innerText")
        return found

    def key(self, name: str) -> None:
        """Presses and releases a key, such as `Tab`, `ArrowRight`, `Enter`."""
        codes = {
            "Tab": 9,
            "Enter": 13,
            "End": 35,
            "Home": 36,
            "ArrowLeft": 37,
            "ArrowUp": 38,
            "ArrowRight": 39,
            "ArrowDown": 40,
        }
        common = {"key": name, "code": name, "windowsVirtualKeyCode": codes[name]}
        # Enter presses a button by its character.
        text = {"text": "\r"} if name == "Enter" else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", **common, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", **common)

    def screenshot(self, path: Path) -> None:
        """The whole page, as long as it is."""
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 6_000), "scale": 1}
        image = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)["data"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(image))

    def accessible(self) -> list[tuple[str, str]]:
        """Role and name of everything that a screen reader is told, in order."""
        nodes = self.send("Accessibility.getFullAXTree")["nodes"]
        return [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]

    @property
    def complaints(self) -> list[str]:
        """Errors of scripts, refusals by the content policy, failed fetches."""
        mine = [event for event in self._browser.events if event.get("sessionId") == self._session]
        found = [
            event["params"]["exceptionDetails"]["exception"]["description"]
            for event in mine
            if event["method"] == "Runtime.exceptionThrown"
        ]
        found += [
            f"{event['params']['entry']['text']} {event['params']['entry'].get('url')}"
            for event in mine
            if event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] == "error"
        ]
        return found

    @property
    def requested(self) -> set[str]:
        """Addresses that were asked for."""
        return {
            event["params"]["request"]["url"]
            for event in self._browser.events
            if event.get("sessionId") == self._session and event["method"] == "Network.requestWillBeSent"
        }
