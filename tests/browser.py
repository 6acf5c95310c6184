"""A page in headless Chromium: opened, acted on and read by JavaScript, over a pair of pipes.

Chromium speaks its debugging protocol on file descriptors 3 and 4, one JSON document at a time,
each ended by a zero byte: no driver, no port and no package is needed.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any

PATIENCE_SECONDS = 60  # a browser that hangs must not hang the tests
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--window-size=1200,1400", "--remote-debugging-pipe"),
)


def find_chromium() -> str | None:
    """Return the path of a Chromium on this machine, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One open page."""

    def __init__(self, commands: int, answers: int) -> None:
        """Speak on two file descriptors: one that Chromium reads, one that it writes."""
        self._commands, self._answers = commands, answers
        self._read = bytearray()
        self._number, self._session = 0, ""
        self._seen: list[dict[str, Any]] = []

    def open(self, url: str) -> None:
        """Load a page and wait until it is there with all its scripts and styles."""
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._ask(f"{domain}.enable")
        self._ask("Page.navigate", url=url)
        self._until(lambda: any(each.get("method") == "Page.loadEventFired" for each in self._seen))

    def run(self, script: str) -> Any:
        """Return what a JavaScript expression gives; a promise is waited for."""
        found = self._ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in found:
            raise AssertionError(found["exceptionDetails"]["exception"]["description"])
        return found["result"].get("value")

    def type(self, selector: str, text: str) -> None:
        """Type a text into a field, key by key, as a script cannot set what is no number."""
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        for character in text:
            self._ask("Input.dispatchKeyEvent", type="char", text=character)

    def wait_for(self, condition: str) -> None:
        """Wait until a JavaScript expression is true, at most ten seconds."""
        self.run(f"""new Promise((done, fail) => {{
            const end = Date.now() + 10000;
            const look = () => {condition} ? done(true) : Date.now() > end
                ? fail(new Error("still not: " + {json.dumps(condition)})) : setTimeout(look, 20);
            look();
        }})""")

    def screenshot(self) -> str:
        """Return what the page looks like, a PNG in base64."""
        return str(self._ask("Page.captureScreenshot")["data"])

    def requested(self) -> list[str]:
        """Return the URLs that the page has asked for so far, data of its own left out."""
        sent = (each for each in self._seen if each.get("method") == "Network.requestWillBeSent")
        urls = [each["params"]["request"]["url"] for each in sent]
        return [url for url in urls if not url.startswith("data:")]

    def complaints(self) -> list[str]:
        """Return what the console of the browser complained about."""
        logged = (each["params"] for each in self._seen if each.get("method") == "Log.entryAdded")
        return [entry["entry"]["text"] for entry in logged if entry["entry"]["level"] == "error"]

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        number, session = self._number, {"sessionId": self._session} if self._session else {}
        command = {"id": number, "method": method, "params": parameters, **session}
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        self._until(lambda: self._seen[-1:] != [] and self._seen[-1].get("id") == number)
        answer = self._seen[-1]
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _until(self, done: Callable[[], bool]) -> None:
        while not done():
            while b"\0" not in self._read:
                if not (some := os.read(self._answers, 1 << 16)):
                    raise AssertionError("Chromium went away")
                self._read += some
            document, _, self._read = self._read.partition(b"\0")
            self._seen.append(json.loads(document))


@contextmanager
def browsing(chromium: str) -> Iterator[Page]:
    """Start Chromium with a profile of its own; end it and forget the profile afterwards."""
    to_read, commands = os.pipe()
    answers, to_write = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        script = f'exec "$@" 3<&{to_read} 4>&{to_write}'
        words = ["bash", "-c", script, "bash", chromium, *OPTIONS, f"--user-data-dir={profile}"]
        with subprocess.Popen(
            words, pass_fds=(to_read, to_write), stderr=subprocess.DEVNULL
        ) as process:
            os.close(to_read)
            os.close(to_write)
            patience = Timer(PATIENCE_SECONDS, process.kill)
            patience.start()
            try:
                yield Page(commands, answers)
            finally:
                patience.cancel()
                process.terminate()
                os.close(commands)
                os.close(answers)
