"""How the stand-in is asked: paths of the API, logs that are followed, commands by WebSocket."""

import base64
import hashlib
import json
import select
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from itertools import islice
from typing import Any
from urllib.parse import parse_qs, urlsplit

from treeline.runner.websocket import masked

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PROTOCOL = "v4.channel.k8s.io"
PIECE_BYTES = 32 << 10


class Handler(BaseHTTPRequestHandler):
    """One request; `cluster` is the stand-in."""

    cluster: Any
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answered("GET")

    def do_POST(self) -> None:
        self._answered("POST")

    def do_DELETE(self) -> None:
        self._answered("DELETE")

    def _answered(self, method: str) -> None:
        address = urlsplit(self.path)
        query = parse_qs(address.query)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        try:
            header = self.headers.get("Authorization", "")
            resource, names = self.cluster.authorize(method, address.path, header)
            if resource == "pods/log":
                self._log(names[0], query)
            elif resource == "pods/exec":
                self._exec(names[0], query)
            else:
                self._send(*self._document(method, resource, names, query, body))
        except ConnectionError:
            return
        except Exception as error:
            status = getattr(error, "status", 500)
            self._send(status, {"kind": "Status", "status": "Failure", "message": str(error)})

    def _document(
        self, method: str, resource: str, names: list[str], query: Any, body: Any
    ) -> tuple[int, Any]:
        if resource == "version":
            return 200, {"major": "1", "minor": "37"}
        if method == "POST":
            return 201, self.cluster.create(body)
        if method == "DELETE":
            return 200, self.cluster.delete(names[0], body)
        if names:
            return 200, self.cluster.find(names[0])
        return 200, self.cluster.listed(resource, query["labelSelector"][0])

    def _send(self, status: int, document: Any) -> None:
        text = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _container(self, pod: str, query: Any) -> str:
        name: str = self.cluster.pods[pod].container(query["container"][0])
        return name

    def _log(self, pod: str, query: Any) -> None:
        command = ["docker", "logs", "--follow", self._container(pod, query)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as reading:
            assert reading.stdout is not None
            self.cluster.readers.append(reading)
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                while piece := reading.stdout.read1(PIECE_BYTES):  # type: ignore[attr-defined]
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            finally:
                reading.kill()
        if reading.returncode >= 0:  # else it was cut off, and so is the answer
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def _exec(self, pod: str, query: Any) -> None:
        assert PROTOCOL in self.headers["Sec-WebSocket-Protocol"]
        key = self.headers["Sec-WebSocket-Key"] + GUID
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        accepted = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.send_header("Sec-WebSocket-Accept", accepted)
        self.send_header("Sec-WebSocket-Protocol", PROTOCOL)
        self.end_headers()
        self.wfile.flush()
        self.close_connection = True
        command = ["docker", "exec", "--interactive", self._container(pod, query)]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            [*command, *query["command"]], stdin=pipe, stdout=pipe, stderr=pipe
        ) as process:
            self._run(process)

    def _run(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin and process.stdout and process.stderr
        lock = threading.Lock()  # one thread at a time may read from TLS or write to it
        feeding = threading.Thread(target=self._feed, args=(process.stdin, lock), daemon=True)
        feeding.start()
        readers = [
            threading.Thread(target=self._relay, args=(stream, channel, lock), daemon=True)
            for stream, channel in ((process.stdout, 1), (process.stderr, 2))
        ]
        for each in readers:
            each.start()
        for each in readers:
            each.join()
        code = process.wait()
        outcome = {"status": "Success"} if code == 0 else {"status": "Failure"}
        outcome |= {"message": f"command terminated with exit code {code}"} if code else {}
        with lock, suppress(OSError):  # who asked has gone once it knows the outcome
            self._frame(2, b"\x03" + json.dumps(outcome).encode())
            self._frame(8, struct.pack("!H", 1000))
        # A connection that is closed before all is read that came on it loses what was sent last.
        feeding.join()

    def _relay(self, stream: Any, channel: int, lock: Any) -> None:
        while piece := stream.read1(PIECE_BYTES):
            with lock, suppress(OSError):
                self._frame(9, b"still there")  # which a client answers, and goes on
                self._frame(2, bytes([channel]) + piece)

    def _feed(self, stdin: Any, lock: Any) -> None:
        for opcode, payload in frames(self._received(lock)):
            if opcode == 8:
                return
            if opcode == 2:
                channel, *given = payload
                assert channel == 0
                with suppress(BrokenPipeError):  # of a command that ended before it read all
                    stdin.write(bytes(given))
                    stdin.flush()

    def _received(self, lock: Any) -> Iterator[int]:
        """Yield the bytes that a client sends, which waits for the answer to its headers first."""
        while True:
            if not self.connection.pending():
                select.select([self.connection], [], [])
            try:
                with lock:
                    piece = self.connection.recv(PIECE_BYTES)
            except OSError:
                return
            if not piece:
                return
            yield from piece

    def _frame(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        head = bytes([0x80 | opcode])
        head += bytes([size]) if size < 126 else struct.pack("!BH", 126, size)
        self.wfile.write(head + payload)


def frames(received: Iterator[int]) -> Iterator[tuple[int, bytes]]:
    """Yield the opcodes and payloads of what a client sends, until it sends no more."""
    while len(head := bytes(islice(received, 2))) == 2:
        assert head[1] & 0x80, "what a client sends is masked"
        size = head[1] & 0x7F
        if size >= 126:
            size = int.from_bytes(islice(received, 2 if size == 126 else 8))
        mask = bytes(islice(received, 4))
        yield head[0] & 0x0F, masked(bytes(islice(received, size)), mask)
