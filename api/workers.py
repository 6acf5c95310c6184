"""What gunicorn is told in Python: `gunicorn --config python:api.workers` (see initializer.sh).

The application is loaded once and then forked, so that workers share the memory of what they only
read, and the second is ready when the first is. Each forks from what was loaded at the start, and
looks at the models on disk before it answers.
"""

import gc
import os
import shutil
import tempfile
from pathlib import Path

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

METRICS = "PROMETHEUS_MULTIPROC_DIR"

preload_app = True

# Both belong before the application is imported: counts of all workers meet in one folder, which
# prometheus_client asks for when it is imported; and a third of the start is looking for garbage.
gc.disable()
os.environ[METRICS] = tempfile.mkdtemp(prefix="treeline-metrics-")


def when_ready(server: Arbiter) -> None:
    """Keep what is loaded out of the sight of the collector, which would write to all of it."""
    gc.freeze()


def post_fork(server: Arbiter, worker: Worker) -> None:
    """Collect garbage in the workers as usual."""
    gc.enable()


def child_exit(server: Arbiter, worker: Worker) -> None:
    """Forget the gauges of a worker that has ended; its counts stay."""
    for gauges in Path(os.environ[METRICS]).glob(f"gauge_live*_{worker.pid}.db"):
        gauges.unlink(missing_ok=True)


def on_exit(server: Arbiter) -> None:
    """Leave nothing behind."""
    shutil.rmtree(os.environ[METRICS], ignore_errors=True)
