"""How long the worst bodies keep others waiting, in the real service with one worker.

Run with `python -m benchmarks event_loop`. One body after the other is sent, while another
connection asks for `/healthz` again and again; what that waits longer than usual is the hold. Each
body is sent some times, and the least counts, as a busy machine only makes it longer. Leaves with 1
where a hold is longer than promised.
"""

import http.client
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from api.http.keyring import new_key
from tests.api.uploading import publish
from tests.serving import Service, serving
from tests.tiny_graphs import identity
from tests.tiny_models import SURVIVAL, write_model
from tests.worst_bodies import PLAIN, Worst, worst

PROMISED_SECONDS = 0.02
TIMES = 3
SHOWN = 15
KEY, LINE = new_key("benchmark")


class Watch(threading.Thread):
    """Asks for something tiny again and again; `longest` is the longest it had to wait."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        self.ended = threading.Event()
        self.waits: list[float] = []

    def run(self) -> None:
        """Ask until it is ended."""
        while not self.ended.is_set():
            began = time.perf_counter()
            self._connection.request("GET", "/healthz")
            self._connection.getresponse().read()
            self.waits.append(time.perf_counter() - began)

    def longest_during(self, request: Worst, port: int) -> tuple[int, float]:
        """Return the status of the answer to a request, and the longest wait meanwhile."""
        connection = http.client.HTTPConnection("127.0.0.1", port)
        headers = {"Content-Type": request.media_type, "X-API-Key": KEY}
        self.waits.clear()
        connection.request(request.method, request.path, request.body, headers)
        status = connection.getresponse().status
        connection.close()
        time.sleep(0.05)
        return status, max(self.waits, default=0.0)


def main() -> int:
    """Print the worst bodies and how long they hold the service; return 1 for one too long."""
    with tempfile.TemporaryDirectory() as folder:
        models, log = Path(folder, "models"), Path(folder, "log")
        write_model(models, SURVIVAL)
        publish(Path(folder, "state"), PLAIN, identity((None,)))
        with serving(models, log, WEB_CONCURRENCY="1", API_KEYS=LINE) as service:
            return printed(measured(service))


def measured(service: Service) -> list[tuple[float, int, str]]:
    """Return the hold in seconds, the status and the name of each body; the first is of none."""
    watch = Watch(service.port)
    watch.start()
    time.sleep(2)
    usual = statistics.median(watch.waits)
    rows = [(usual, 200, "usual wait, with nothing else to do")]
    for request in worst():
        found = [watch.longest_during(request, service.port) for _ in range(TIMES)]
        status, longest = min(found, key=lambda each: each[1])
        rows.append((longest - usual, status, request.name))
        print(".", end="", file=sys.stderr, flush=True)
    watch.ended.set()
    watch.join()
    return rows


def printed(rows: list[tuple[float, int, str]]) -> int:
    """Print the longest holds; return 1 where one is longer than promised."""
    usual, *bodies = rows
    bodies.sort(reverse=True)
    print(f"\n{len(bodies)} bodies, {TIMES} times each; the longest holds:")
    for seconds, status, name in [usual, *bodies[:SHOWN]]:
        print(f"{1000 * seconds:8.1f} ms  {status}  {name}")
    longest = bodies[0][0]
    print(f"promised: at most {1000 * PROMISED_SECONDS:.0f} ms")
    return int(longest > PROMISED_SECONDS)
