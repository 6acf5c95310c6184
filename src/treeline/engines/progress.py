"""Work on Spark → a bar of its tasks, for whoever watches."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

EVERY_SECONDS = 0.5


@contextmanager
def shown(spark: Any, title: str) -> Iterator[None]:
    """Show how many tasks of the running stages are done, while the block waits for Spark.

    `spark` is a session. Where no person watches there is neither bar nor thread.
    """
    if not sys.stderr.isatty():
        yield
        return
    over = threading.Event()
    watching = threading.Thread(target=_watch, args=(spark.sparkContext, title, over), daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


def _watch(context: Any, title: str, over: threading.Event) -> None:
    told = context.statusTracker()
    with tqdm(desc=title, unit=" tasks", leave=False) as bar:
        while not over.wait(EVERY_SECONDS):
            stages = [told.getStageInfo(number) for number in told.getActiveStageIds()]
            stages = [stage for stage in stages if stage is not None]
            bar.total = sum(stage.numTasks for stage in stages) or None
            bar.n = sum(stage.numCompletedTasks for stage in stages)
            bar.refresh()
