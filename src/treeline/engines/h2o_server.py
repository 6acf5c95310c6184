"""H2O in a JVM of our own, asked over HTTP: https://docs.h2o.ai/h2o/latest-stable/h2o-docs/rest-api-reference.html

It listens on 127.0.0.1 only, on a port it finds free, and answers only who knows the password in
its folder: whoever may ask it may read files and run code with our rights.
"""

import json
import os
import secrets
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode

from treeline.engines.java import require_java
from treeline.engines.keeper import ADDRESS, LOOK_SECONDS
from treeline.engines.supervision import SupervisedProgram
from treeline.errors import EngineError

NAME = "H2O"
JAVA = range(8, 18)
BASE_PORT = 54321  # the first of those it tries; it needs two in a row
START_SECONDS = 120  # 4 on an idle machine
USER, PASSWORDS = "treeline", "realm.properties"
FORM, BYTES, JSON = (
    "application/x-www-form-urlencoded",
    "application/octet-stream",
    "application/json",
)
CHUNK_BYTES = 1 << 22  # of a parsed file: what threads share, the same on every machine

T = TypeVar("T")
Answer = dict[str, Any]


class UnknownKeyError(EngineError):
    """H2O has no model or frame of that name: it was started anew since."""


class LostError(EngineError):
    """H2O has gone while it was asked, or is not there to be asked."""


class H2OServer:
    """One H2O of one node, shared by all threads of this process and by its forks."""

    def __init__(self, program: SupervisedProgram) -> None:
        """Speak to an H2O that was started in a folder."""
        self.folder = program.folder
        self._program = program
        self._process = os.getpid()
        self._idle: list[HTTPConnection] = []

    @classmethod
    def start(cls, jar: Path, *, memory: str, threads: int = 0, restarts: int = 0) -> Self:
        """Start `h2o.jar` with that much heap, such as `1g`, and so many threads (0: all cores).

        It reports its use to nobody, and ends with this process. Raises EngineError.
        """
        java = require_java(NAME, JAVA)
        program = SupervisedProgram(NAME)
        password, address = program.folder / PASSWORDS, program.folder / ADDRESS
        password.write_text(f"{USER}: {secrets.token_urlsafe(24)}\n", encoding="utf-8")
        # It looks for no others.
        (program.folder / "nodes").write_text(f"127.0.0.1:{BASE_PORT}\n", encoding="utf-8")
        virtual_machine = [
            *(str(java), f"-Xmx{memory}", "-XX:+ExitOnOutOfMemoryError", "-XX:-UsePerfData"),
            f"-Djava.io.tmpdir={program.folder}",
            "-Dsys.ai.h2o.telemetry.disabled=true",
        ]
        options = [
            *("-ip", "127.0.0.1", "-web_ip", "127.0.0.1", "-baseport", str(BASE_PORT)),
            *("-name", program.folder.name, "-flatfile", str(program.folder / "nodes")),
            *("-ice_root", str(program.folder), "-log_level", "WARN"),
            *("-notify_local", str(address), "-hash_login", "-login_conf", str(password)),
            *(("-nthreads", str(threads)) if threads else ()),
        ]
        program.start([*virtual_machine, "-jar", str(jar), *options], restarts=restarts)
        try:
            program.address(seconds=START_SECONDS)
        except EngineError:
            program.stop()
            raise
        return cls(program)

    def stop(self) -> None:
        """End it, if it was this process that started it."""
        self._program.stop()
        while self._idle:
            self._idle.pop().close()

    def retry_once_if_lost(self, work: Callable[[], T]) -> T:
        """Return what some work with the server gives; do it again when the server was lost in it.

        Raises LostError when that happens again.
        """
        try:
            return work()
        except LostError:
            return work()

    def request(self, method: str, path: str, **form: object) -> Answer:
        """Return the JSON that H2O answers to a form; raises EngineError."""
        body = urlencode({name: _text(value) for name, value in form.items()}).encode()
        answer: Answer = json.loads(self.exchange(method, path, body, FORM))
        return answer

    def submit(self, path: str, document: Mapping[str, Any]) -> Answer:
        """Return the JSON that H2O answers to a JSON document; raises EngineError."""
        answer: Answer = json.loads(
            self.exchange("POST", path, json.dumps(document).encode(), JSON)
        )
        return answer

    def exchange(self, method: str, path: str, body: bytes = b"", media: str = BYTES) -> bytes:
        """Return the body that H2O answers with; raises UnknownKeyError, LostError, EngineError."""
        request = method, path, body, {**self._headers(), "Content-Type": media}
        try:
            status, answer = self._exchanged(*request)
        except (OSError, HTTPException) as error:
            time.sleep(5 * LOOK_SECONDS)  # until its keeper has noticed
            self._program.raise_if_ended()
            raise LostError(
                f"{NAME} was lost while it worked ({type(error).__name__}: {error}); it is "
                "started again where it serves; if it is lost again, give it more memory"
            ) from error
        if status == 404:
            raise UnknownKeyError(f"{NAME} knows no {path}")
        if status >= 400:
            raise EngineError(f"{NAME} refused {method} {path}: {_complaint(answer)}")
        return answer

    def put_frame(self, name: str, rows: bytes, columns: Mapping[str, str]) -> None:
        """Make a frame of CSV without a header; `columns` are `enum` or `real` by name."""
        self.exchange("POST", f"/3/PostFile?destination_frame={name}_csv", rows)
        self.request(
            "POST",
            "/3/Parse",
            destination_frame=name,
            source_frames=[f"{name}_csv"],
            parse_type="CSV",
            separator=ord(","),
            single_quotes=False,
            check_header=-1,  # there is none
            number_columns=len(columns),
            column_names=list(columns),
            column_types=list(columns.values()),
            chunk_size=CHUNK_BYTES,
            delete_on_done=True,
            blocking=True,
        )

    def frame_csv(self, name: str) -> bytes:
        """Return a frame as CSV with a header, text in double quotes."""
        return self.exchange("GET", f"/3/DownloadDataset?frame_id={quote(name)}")

    def forget(self, names: Sequence[str]) -> None:
        """Remove frames, where they are still there."""
        for name in names:
            try:
                self.exchange("DELETE", f"/3/Frames/{quote(name)}")
            except UnknownKeyError:
                continue

    def _exchanged(self, *request: Any) -> tuple[int, bytes]:
        """Send a request through a connection that is open, or else through a new one."""
        while True:
            connection, is_new = self._taken()
            try:
                connection.request(*request)
                answer = connection.getresponse()
                status_and_body = answer.status, answer.read()
            except (OSError, HTTPException):
                connection.close()
                if is_new:
                    raise
                continue  # it was idle for too long, or is one to a JVM that has ended
            self._idle.append(connection)
            return status_and_body

    def _taken(self) -> tuple[HTTPConnection, bool]:
        """Return a connection that nobody else uses, and whether it is new.

        A fork must not speak through those of the process it comes from.
        """
        if self._process != os.getpid():
            self._process, self._idle = os.getpid(), []
        try:
            return self._idle.pop(), False
        except IndexError:
            host, _, port = self._program.address(seconds=START_SECONDS).rpartition(":")
            return HTTPConnection(host, int(port)), True

    def _headers(self) -> dict[str, str]:
        user, _, password = (
            (self.folder / PASSWORDS).read_text(encoding="utf-8").strip().partition(": ")
        )
        return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _complaint(body: bytes) -> str:
    """Return what H2O says is wrong, out of its JSON where it is some."""
    try:
        document = json.loads(body)
        return str(document.get("msg") or document.get("error_url") or document)[:1000]
    except (ValueError, AttributeError):
        return body[:1000].decode(errors="replace")
