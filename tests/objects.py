"""A store of objects that speaks as S3 does, how it is reached, and what may happen to it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from tests.serving import free_port

ACCESS = {
    "AWS_ACCESS_KEY_ID": "somebody",
    "AWS_SECRET_ACCESS_KEY": "s3cret",
    "AWS_DEFAULT_REGION": "us-east-1",
}
Start = Callable[..., Any]
HELD_SECONDS = 120


def s3(url: str) -> Any:
    """Return a client of a store of objects."""
    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=ACCESS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ACCESS["AWS_SECRET_ACCESS_KEY"],
        region_name=ACCESS["AWS_DEFAULT_REGION"],
    )


class Held:
    """The next request of a kind, which waits in the door until it is let go, or is lost."""

    def __init__(self, method: str, part: str, *, answered: bool) -> None:
        """Hold one whose path has that part; `answered`: the store does it, and says so late."""
        self.method, self.part, self.answered = method, part, answered
        self.arrived, self._go, self._lost = Event(), Event(), False

    def let_go(self, *, lost: bool = False) -> None:
        """Let it go on; or, where it is lost, never arrive."""
        self._lost = lost
        self._go.set()

    def passes(self) -> bool:
        """Wait, and tell whether it arrives."""
        self.arrived.set()
        return self._go.wait(HELD_SECONDS) and not self._lost


class Store:
    """A store behind a door.

    Changes pass one after the other, as a store that heeds conditions must have it. It can be shut,
    and then answers nobody; it can let conditions drop, as older stores do.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.shut = False
        self.heedless = False
        self.asked: list[tuple[str, str]] = []
        self.sent = 0  # bytes of answers
        self._app = DomainDispatcherApplication(create_backend_app)
        self._changing = Lock()
        self._held: list[Held] = []

    def hold(self, method: str, part: str, *, answered: bool = False) -> Held:
        """Hold the next request of a kind."""
        held = Held(method, part, answered=answered)
        self._held.append(held)
        return held

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        """Answer a request."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.asked.append((method, path))
        if self.shut:
            start("503 Slow Down", [("Content-Length", "0")])
            return []
        if self.heedless and method in ("PUT", "DELETE"):
            for condition in ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"):
                environ.pop(condition, None)
        held = next((x for x in self._held if x.method == method and x.part in path), None)
        if held is not None:
            self._held.remove(held)
            if not held.answered and not held.passes():
                start("503 Slow Down", [("Content-Length", "0")])
                return []
        answer = self._answer(environ, start, changes=method in ("PUT", "DELETE", "POST"))
        if held is not None and held.answered:
            held.passes()
        return answer

    def _answer(self, environ: dict[str, Any], start: Start, *, changes: bool) -> list[bytes]:
        if not changes:
            answer = list(self._app(environ, start))
            self.sent += sum(map(len, answer))
            return answer
        with self._changing:
            return list(self._app(environ, start))


@contextmanager
def standing_store(bucket: str) -> Iterator[Store]:
    """Run a store with one empty bucket meanwhile."""
    port = free_port()
    store = Store(f"http://127.0.0.1:{port}")
    server = make_server(
        "127.0.0.1", port, store, threaded=True, request_handler=MotoRequestHandler
    )
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    s3(store.url).create_bucket(Bucket=bucket)
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()


@contextmanager
def store_of_objects(bucket: str) -> Iterator[str]:
    """Run a store with one empty bucket meanwhile, and yield its address."""
    with standing_store(bucket) as store:
        yield store.url
