"""Under load, with swaps, uploads, killed workers, the database away: is anything lost?

Run with `python -m benchmarks soak`, for SOAK_SECONDS (120). The real service runs as people start
it, two workers over a copy of the exported models; four clients ask for predictions all the time,
and send a batch now and then. Leaves with 1 where an answer was not in the log at the end, or one
was in it twice; where an answer was a 5xx, or a request failed but for those a killed worker had.
What memory all processes take is printed after each turn.
"""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from sqlalchemy import create_engine, text

from api.http.keyring import new_key
from api.prediction_log.spool import Spool
from benchmarks.seedlings import PROJECT

SECONDS = float(os.environ.get("SOAK_SECONDS", "120"))
PORT, CLIENTS, PAUSE = 8474, 4, 3.0
BATCH_ROWS = 20_000
READ_LATE = 0.1  # seconds after the kill at which a client may read what was sent before it
KILL_LOSES = 0.25  # seconds of answers before a worker is killed that need not be in the log
SHIP_SECONDS = 120  # for the shipper to take what is left at the end
MODEL = "tree-survival"
KEY, LINE = new_key("soak")
URL = f"http://127.0.0.1:{PORT}"


@dataclass
class Seen:
    """What the clients saw."""

    statuses: Counter[int] = field(default_factory=Counter)
    answered: dict[str, float] = field(default_factory=dict)
    broken: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


def main() -> int:
    """Run it and print what came of it."""
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as process:
        seen, memory = Seen(), []
        record = httpx2.get(f"{URL}/v1/models/{MODEL}").json()["example"]["record"]
        disturbances = Disturbances(Path(folder), process, record)
        threads = [threading.Thread(target=asking, args=(seen, record)) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + SECONDS
        for turn in itertools.cycle(disturbances.turns()):
            turn()
            time.sleep(PAUSE)
            memory.append(resident(process.pid))
            name = turn.__name__.replace("_", " ")
            print(f"  {name}: {len(seen.answered):,} answered, {memory[-1]} MB", flush=True)
            if time.monotonic() > end:
                break
        seen.over.set()
        for thread in threads:
            thread.join()
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        await_shipper(Path(folder))
        return judged(Path(folder), seen, disturbances.killed, memory)


def asking(seen: Seen, record: dict[str, object]) -> None:
    """Ask for one prediction after the other, until it is over."""
    with httpx2.Client(timeout=30) as client:
        while not seen.over.is_set():
            try:
                answer = client.post(f"{URL}/v1/predict", json=record)
            except httpx2.TransportError:
                seen.broken.append(time.time())
                continue
            seen.statuses[answer.status_code] += 1
            if answer.status_code == 200:
                seen.answered[answer.json()["id"]] = time.time()
            else:
                seen.refused.append(answer.text)


@dataclass(frozen=True)
class Disturbances:
    """What is done to the service, in turns."""

    folder: Path
    process: subprocess.Popen[bytes]
    record: dict[str, object]
    killed: list[float] = field(default_factory=list)

    def turns(self) -> list[Callable[[], None]]:
        return [self.swap, self.upload, self.kill, self.lock_the_database, self.batch, self.delete]

    def swap(self) -> None:
        """Write the files of the model anew, as a pull does: it is loaded, tried and swapped."""
        for path in sorted((self.folder / "model" / MODEL).rglob("*")):
            if path.is_file():
                copied = path.with_name(f".{path.name}.draft")
                shutil.copyfile(path, copied)
                copied.replace(path)

    def upload(self) -> None:
        graph = self.folder / "model" / "iris" / "artifact" / "model.onnx"
        media_type = "application/octet-stream"
        self._asked("PUT", "/v1/models/uploaded-iris", graph.read_bytes(), media_type)

    def kill(self) -> None:
        os.kill(children(self.process.pid)[0], signal.SIGKILL)
        self.killed.append(time.time())

    def lock_the_database(self) -> None:
        """Keep the shipper out for a while."""
        engine = create_engine(f"sqlite:///{database(self.folder)}")
        with engine.connect() as held:
            held.exec_driver_sql("BEGIN EXCLUSIVE")
            time.sleep(min(20, SECONDS / 6))
            held.exec_driver_sql("ROLLBACK")
        engine.dispose()

    def batch(self) -> None:
        row = ",".join(map(str, self.record.values()))
        table = "\n".join([",".join(self.record), *[row] * BATCH_ROWS, ""])
        self._asked("POST", "/v1/predict/batch", table.encode(), "text/csv")

    def delete(self) -> None:
        self._asked("DELETE", "/v1/models/uploaded-iris", b"", "application/json")

    def _asked(self, method: str, path: str, body: bytes, media_type: str) -> None:
        """Ask, and once more where the worker that was asked has been killed."""
        headers = {"X-API-Key": KEY, "Content-Type": media_type}
        for _ in range(3):
            with suppress(httpx2.TransportError):
                answer = httpx2.request(
                    method, URL + path, content=body, headers=headers, timeout=60
                )
                if answer.status_code >= 400:
                    print(f"  {method} {path}: {answer.status_code} {answer.text}")
                return


def await_shipper(folder: Path) -> None:
    """Let the shipper take what waits in the spool: it may outlive the service for that."""
    spool = Spool(folder / "state")
    end = time.monotonic() + SHIP_SECONDS
    while spool.has_shipper() and time.monotonic() < end:
        time.sleep(0.1)


def judged(folder: Path, seen: Seen, killed: list[float], memory: list[int]) -> int:
    """Compare what was answered with what is in the log, print it, and return the exit code."""
    engine = create_engine(f"sqlite:///{database(folder)}")
    with engine.connect() as connection:
        logged = Counter(connection.execute(text("SELECT id FROM predictions")).scalars())
    late = [at for name, at in seen.answered.items() if name not in logged]
    ahead = [min((kill - at for kill in killed), key=abs, default=SECONDS) for at in late]
    lost = [each for each in ahead if not -READ_LATE <= each <= KILL_LOSES]
    stray = [at for at in seen.broken if not any(-1 <= at - kill <= 2 for kill in killed)]
    twice = sum(count > 1 for count in logged.values())
    errors = {status: count for status, count in seen.statuses.items() if status != 200}
    print(
        f"\nanswered {len(seen.answered):,} single predictions; other statuses: {errors or 'none'}"
    )
    print(f"broken off {len(seen.broken)}, but for {len(killed)} killed workers {len(stray)}")
    print(
        f"not in the log {len(late)}, but for those just before a kill {len(lost)}; twice {twice}"
    )
    print(f"those were answered up to {max(ahead, default=0):.3f} seconds before a kill")
    print(f"memory of all processes: {memory[:3]} MB at first, {memory[-3:]} MB at last")
    for reason in seen.refused[:3]:
        print(reason)
    return int(bool(lost or stray or errors or twice))


def database(folder: Path) -> Path:
    return folder / "state" / "predictions.sqlite"


@contextmanager
def served(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start the service over a copy of the models; end it afterwards."""
    shutil.copytree(PROJECT / "model", folder / "model")
    settings = {
        "PORT": str(PORT),
        "API_MODEL_DIR": str(folder / "model"),
        "API_STATE_DIR": str(folder / "state"),
        "API_DEFAULT_MODEL": MODEL,
        "API_WATCH_SECONDS": "1",
        "API_KEYS": LINE,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    process = subprocess.Popen(
        [PROJECT / "initializer.sh"],
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
        stderr=(folder / "said").open("wb"),
    )
    try:
        while not ready():
            time.sleep(0.1)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def ready() -> bool:
    try:
        return bool(httpx2.get(f"{URL}/readyz").status_code == 200)
    except httpx2.TransportError:
        return False


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    told = subprocess.run(
        ["pgrep", "-P", str(pid)], capture_output=True, text=True, encoding="utf-8", check=False
    )
    return [int(each) for each in told.stdout.split()]


def resident(pid: int) -> int:
    """Return the memory that a process and all below it share or own, in MB."""
    total = 0
    for each in [pid, *children(pid)]:
        with suppress(OSError):
            lines = Path(f"/proc/{each}/smaps_rollup").read_text(encoding="utf-8").splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total // 1024
