"""What runs in the small images of these tests: it answers as the signatures beside it say.

It is no part of the tests' process: the file is copied into the images. As the real service does,
it answers what is under way before it ends. BEHAVIOUR says what else it does: `well`; `unready`,
never ready; `ends`, at once; `tires`, wrong once the front leads to it.
"""

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BEHAVIOUR = os.environ.get("BEHAVIOUR", "well")
FOLDER = Path(__file__).parent
PAUSE_SECONDS, LOOK_SECONDS = 0.2, 0.05
SIGNATURES = [json.loads(path.read_text()) for path in FOLDER.glob("model/*/signature.json")]


class Service(BaseHTTPRequestHandler):
    """Readiness, and predictions of the one record it knows."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        models = {each["name"]: each["version"] for each in SIGNATURES}
        if BEHAVIOUR == "unready":
            self.answer(503, {"detail": "not ready, and never will be"})
        else:
            self.answer(200, {"models": models})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        signature = SIGNATURES[0]
        scores = signature["example"]["scores"]
        wrong = BEHAVIOUR == "tires" and "X-Forwarded-For" in self.headers
        self.answer(
            200,
            {
                "version": signature["version"],
                "probability": 0.5 if wrong else scores[-1],
                "image": os.environ.get("IMAGE_NAME", ""),
            },
        )

    def answer(self, status: int, document: dict[str, object]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_one_request(self) -> None:
        """Answer one request, and note that a connection waits for another one again."""
        super().handle_one_request()
        self.server.waits(self.connection)

    def parse_request(self) -> bool:
        self.server.is_busy(self.connection)
        return super().parse_request()


class Server(ThreadingHTTPServer):
    """Takes many connections at a time, and ends when none of them waits for an answer."""

    request_queue_size = 128

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, Service)
        self._busy: set[object] = set()

    def is_busy(self, connection: object) -> None:
        self._busy.add(connection)

    def waits(self, connection: object) -> None:
        self._busy.discard(connection)

    def end(self, *_: object) -> None:
        """End the process, after the answers that are under way."""
        threading.Thread(target=self._end).start()

    def _end(self) -> None:
        self.shutdown()
        time.sleep(PAUSE_SECONDS)  # for requests that have arrived, and are not read yet
        while self._busy:
            time.sleep(PAUSE_SECONDS)
        os._exit(0)


if __name__ == "__main__":
    if BEHAVIOUR == "ends":
        sys.exit("there is nothing to serve")
    server = Server((os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8000"))))
    signal.signal(signal.SIGTERM, server.end)  # the first process has no default
    server.serve_forever(LOOK_SECONDS)
