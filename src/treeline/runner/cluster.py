"""The API of a cluster, asked by HTTPS with the token of a service account.

Token and certificates are read for each request: a cluster replaces them every hour.
"""

import json
import os
import ssl
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

from treeline.errors import AgentError
from treeline.runner.settings import KubernetesSettings
from treeline.runner.websocket import RefusedError, WebSocket

SECONDS = 30.0  # for an answer
QUIET_SECONDS = 60.0  # of a stream that nothing comes on, after which it is opened anew
AWAY = 0  # in the place of a status: nobody has answered
PASSING = (AWAY, 429, 500, 502, 503, 504)
PAUSES = (0.5, 1.0, 2.0)  # before it is asked again where that may help
MISSING, CONFLICT, GOOD = 404, 409, range(200, 300)
MOST_BYTES = 64 << 20  # of an answer
QUOTED = 500  # characters of a complaint
PIECE_BYTES = 64 << 10
EXEC = "v4.channel.k8s.io"
STDIN, STDOUT, STDERR, OUTCOME = range(4)  # the first byte of each message says which

Query = Iterable[tuple[str, str]]
Document = dict[str, Any]


class Cluster:
    """What a runner asks of a cluster, in one namespace; methods raise AgentError."""

    def __init__(self, settings: KubernetesSettings) -> None:
        self._settings = settings

    def answers(self) -> bool:
        """Tell whether there is an API server, and it knows the token."""
        try:
            self.ask("GET", "/version")
        except AgentError:
            return False
        return True

    def path(self, kind: str, *names: str) -> str:
        """Return the path of objects in the namespace, such as `pods`, or of one by its name."""
        group = "/apis/batch/v1" if kind == "jobs" else "/api/v1"
        return "/".join((group, "namespaces", self._settings.namespace, kind, *names))

    def ask(
        self, method: str, path: str, *, query: Query = (), body: Document | None = None
    ) -> Document | None:
        """Return what the API answers; None where what is asked for is not there, or there already.

        Where it is only busy, it is asked a few times.
        """
        for pause in (*PAUSES, None):
            status, text = self._answer(method, path, query, body)
            if status not in PASSING or pause is None:
                break
            time.sleep(pause)
        if status in GOOD:
            return dict(json.loads(text or b"{}"))
        if status == (CONFLICT if method == "POST" else MISSING):
            return None
        raise AgentError(f"{method} {path} at {self._server}: {status or ''} {complaint(text)}")

    def read(self, path: str, *, query: Query = ()) -> Generator[bytes]:
        """Yield the pieces of an answer as they come.

        Raises AgentError also where nothing comes for a while.
        """
        try:
            with closing(self._connection(QUIET_SECONDS)) as connection:
                answer = self._request(connection, "GET", path, query, None)
                if answer.status not in GOOD:
                    text = complaint(answer.read(MOST_BYTES))
                    raise AgentError(f"GET {path} at {self._server}: {answer.status}: {text}")
                while piece := answer.read1(PIECE_BYTES):
                    yield piece
        except (OSError, HTTPException) as error:
            raise AgentError(f"GET {path} at {self._server}: {error}") from error

    def run(
        self, pod: str, container: str, *command: str, given: Iterable[bytes] = ()
    ) -> Generator[bytes]:
        """Run a command in a container, give it bytes to read, and yield what it prints.

        Raises AgentError where it does not end well. The other side is never told that there is
        nothing more to read (this version of the protocol has no word for it).
        """
        try:
            with closing(self._connection(QUIET_SECONDS)) as connection:
                socket = self._opened(connection, pod, container, command)
                _give(socket, given)
                yield from _printed(socket)
        except (OSError, HTTPException, ValueError) as error:
            said = complaint(
                (error.text if isinstance(error, RefusedError) else str(error)).encode()
            )
            raise AgentError(f"`{' '.join(command)}` in {container} of {pod}: {said}") from error

    def _opened(
        self, connection: HTTPSConnection, pod: str, container: str, command: Iterable[str]
    ) -> WebSocket:
        query = [("container", container), ("stdin", "true"), ("stdout", "true")]
        query += [("stderr", "true"), *(("command", word) for word in command)]
        path = f"{self._base}{self.path('pods', pod, 'exec')}?{urlencode(query)}"
        headers = self._authorization()
        return WebSocket.open(connection, path, protocol=EXEC, headers=headers)

    def _answer(
        self, method: str, path: str, query: Query, body: Document | None
    ) -> tuple[int, bytes]:
        """Return the status of an answer and its body, or AWAY and why there is none."""
        try:
            with closing(self._connection(SECONDS)) as connection:
                answer = self._request(connection, method, path, query, body)
                return answer.status, answer.read(MOST_BYTES)
        except (OSError, HTTPException) as error:
            return AWAY, f"{type(error).__name__}: {error}".encode()

    @property
    def _server(self) -> str:
        if self._settings.server:
            return self._settings.server
        host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
        if not host:
            raise AgentError(
                "no cluster is around this process: name its API server by `server` in "
                "[kubernetes], with token_file and ca_file"
            )
        host = f"[{host}]" if ":" in host else host
        return f"https://{host}:{os.environ.get('KUBERNETES_SERVICE_PORT', '443')}"

    @property
    def _base(self) -> str:
        return urlsplit(self._server).path.rstrip("/")

    def _connection(self, seconds: float) -> HTTPSConnection:
        address = urlsplit(self._server)
        try:
            context = ssl.create_default_context(cafile=str(self._settings.ca_file))
        except OSError as error:  # a file that holds no certificate, too
            raise AgentError(f"ca_file {self._settings.ca_file}: {error}") from error
        host, port = address.hostname or "", address.port
        return HTTPSConnection(host, port, timeout=seconds, context=context)

    def _authorization(self) -> Mapping[str, str]:
        try:
            token = self._settings.token_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise AgentError(f"token_file {self._settings.token_file}: {error}") from error
        return {"Authorization": f"Bearer {token}"}

    def _request(
        self,
        connection: HTTPSConnection,
        method: str,
        path: str,
        query: Query,
        body: Document | None,
    ) -> HTTPResponse:
        words = urlencode(list(query))
        headers = {**self._authorization(), "Accept": "*/*", "Content-Type": "application/json"}
        sent = None if body is None else json.dumps(body).encode()
        connection.request(
            method, f"{self._base}{path}{'?' if words else ''}{words}", body=sent, headers=headers
        )
        return connection.getresponse()


def complaint(text: bytes) -> str:
    """Return what an answer complains about: the message of a Status, or else its beginning."""
    with suppress(ValueError, KeyError, TypeError):
        return str(json.loads(text)["message"])[:QUOTED]
    return text.decode("utf-8", "replace")[:QUOTED]


def _give(socket: WebSocket, given: Iterable[bytes]) -> None:
    """Send what a command is to read; one that ends before it has read all says why by itself."""
    with suppress(ConnectionError):
        for piece in given:
            socket.send(bytes([STDIN]) + piece)


def _printed(socket: WebSocket) -> Iterator[bytes]:
    """Yield what a command prints; raises ValueError with its complaint where it fails."""
    complaints = b""
    for message in socket.messages():
        channel, piece = message[:1], message[1:]
        if channel == bytes([STDOUT]):
            yield piece
        elif channel == bytes([STDERR]):
            complaints = (complaints + piece)[-QUOTED:]
        elif channel == bytes([OUTCOME]):
            outcome = json.loads(piece)
            if outcome.get("status") != "Success":
                said = complaints.decode("utf-8", "replace").strip()
                raise ValueError(f"{outcome.get('message', 'it failed')} {said}".strip())
            return
    raise ValueError("it was cut off")
