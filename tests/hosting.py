"""A host that runs containers: a new one takes over when it is ready, at the same URL."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import uuid4

from tests.answering import TensorEndpoint, answering
from tests.container.test_image import docker

START_SECONDS = 30
STEP_SECONDS = 0.1


class Containers:
    """The container in service, and one that may be about to take over."""

    def __init__(self) -> None:
        self.in_service = ""
        self._addresses: dict[str, str] = {}  # of every container there is, by name
        self._over = threading.Event()

    def address(self) -> str:
        """Return where the container in service answers; nothing where none is."""
        return self._addresses.get(self.in_service, "")

    def run(self, image: str) -> bool:
        """Start an image and tell whether it became ready; only then it replaces the former."""
        name = f"treeline-host-{uuid4().hex}"
        options = ("--detach", "--name", name, "--publish", "127.0.0.1::8000")
        try:
            docker("run", *options, "--env", "WEB_CONCURRENCY=1", image)
            self._addresses[name] = f"http://{docker('port', name, '8000')}"
            ready = self._becomes_ready(self._addresses[name])
        except AssertionError:  # there is no such image, or it ended at once
            ready = False
        former = name
        if ready:
            former, self.in_service = self.in_service, name
        self._remove(former)
        return ready

    def end(self) -> None:
        """Give up what is being started, and remove every container."""
        self._over.set()
        for name in list(self._addresses):
            self._remove(name)

    def _remove(self, name: str) -> None:
        if name:
            docker("rm", "--force", "--volumes", name)
            self._addresses.pop(name, None)

    def _becomes_ready(self, url: str) -> bool:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and not self._over.is_set():
            try:
                urlopen(f"{url}/readyz", timeout=5).close()
                return True
            except HTTPError as error:
                error.close()
                return False  # it has started, and says it will not be ready
            except OSError:
                self._over.wait(STEP_SECONDS)
        return False


class _Edge(TensorEndpoint):
    """Leads to the container in service, whichever that is."""

    containers: Containers

    def do_GET(self) -> None:
        self._forward(None)

    def do_POST(self) -> None:
        self._forward(self.body())

    def _forward(self, body: bytes | None) -> None:
        if not (address := self.containers.address()):
            self.reply(503, b'{"message": "no instance"}')
            return
        request = Request(address + self.path, data=body, method=self.command)
        request.add_header("Content-Type", "application/json")
        try:
            with urlopen(request, timeout=10) as answer:
                self.reply(answer.status, answer.read())
        except HTTPError as error:
            with error:
                self.reply(error.code, error.read())
        except OSError:
            self.reply(502, b'{"message": "no answer"}')


@contextmanager
def hosting() -> Iterator[tuple[Containers, str]]:
    """Give a host without a container, and the URL that leads to the one in service."""
    containers = Containers()
    with answering(_Edge, containers=containers) as url:
        try:
            yield containers, url
        finally:
            containers.end()
