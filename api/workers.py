"""What gunicorn is told in Python: `gunicorn --config python:api.workers` (see initializer.sh).

The application is loaded once and then forked, so that workers share the memory of what they only
read, and the second is ready when the first is. Each forks from what was loaded at the start, and
looks at the models on disk before it answers.
"""

import gc
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from treeline.registry import resolve

METRICS = "PROMETHEUS_MULTIPROC_DIR"
LOOK_SECONDS = 0.5
GRACEFUL_SECONDS = 20  # as initializer.sh has it
WELCOME = {"main": "api.welcome:main"}  # imported once METRICS is set

preload_app = True

# Both belong before the application is imported: counts of all workers meet in one folder, which
# prometheus_client asks for when it is imported; and a third of the start is looking for garbage.
gc.disable()
try:
    os.environ[METRICS] = tempfile.mkdtemp(prefix="treeline-metrics-")
except OSError as error:  # no disk takes a folder: each worker tells its own counts
    print(f"Metrics of workers are not summed: {error}", file=sys.stderr)
    os.environ.pop(METRICS, None)


def greets(environment: Mapping[str, str]) -> bool:
    """Tell whether initializer.sh starts this: it names a host and a port.

    Not so a new master that takes over the sockets of a former one (SIGUSR2), which listens still.
    """
    return {"HOST", "PORT"} <= environment.keys() and "GUNICORN_FD" not in environment


def greet(host: str, port: str) -> None:
    """Say where the service will be, before it is loaded; exits where the port is taken.

    It is said here and not by a command before: importing what it needs is a part of the start.
    """
    try:
        status = resolve(WELCOME, "main", place="api.workers")(host, port)
    except Exception:
        traceback.print_exc()
        print("The service starts all the same.", file=sys.stderr)
        return
    if status:
        sys.exit(status)


def when_ready(server: Arbiter) -> None:
    """Keep what is loaded out of the sight of the collector, which would write to all of it."""
    gc.freeze()


def post_fork(server: Arbiter, worker: Worker) -> None:
    """Collect garbage in the workers as usual, and end with the master."""
    gc.enable()
    threading.Thread(target=end_with, args=(server.pid,), name="master", daemon=True).start()


def end_with(master: int) -> None:
    """End this worker when its master is gone, however that died: it must not keep the port.

    Requests under way are answered first, as long as a master would wait for them.
    """
    while os.getppid() == master:
        time.sleep(LOOK_SECONDS)
    print("The master of this worker is gone: it ends too", file=sys.stderr)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(float(os.environ.get("GRACEFUL_SECONDS", GRACEFUL_SECONDS)) + 1)
    os._exit(1)


def child_exit(server: Arbiter, worker: Worker) -> None:
    """Forget the gauges of a worker that has ended; its counts stay."""
    if METRICS in os.environ:
        for gauges in Path(os.environ[METRICS]).glob(f"gauge_live*_{worker.pid}.db"):
            gauges.unlink(missing_ok=True)


def on_exit(server: Arbiter) -> None:
    """Leave nothing behind."""
    if METRICS in os.environ:
        shutil.rmtree(os.environ[METRICS], ignore_errors=True)


if greets(os.environ):
    greet(os.environ["HOST"], os.environ["PORT"])
