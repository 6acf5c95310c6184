"""Callers that ask for one prediction after the other, and write down what they do not get."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx2

from tests.tiny_models import SURVIVAL

CALLERS = 4
PATIENCE_SECONDS = 20
PAUSE_SECONDS = 0.01  # else they take the processors that an update needs


@dataclass
class Record:
    """The status of each request, or why there is none."""

    outcomes: list[str] = field(default_factory=list)  # an append needs no lock

    @property
    def answered(self) -> int:
        return self.outcomes.count("200")

    @property
    def lost(self) -> list[str]:
        return [outcome for outcome in self.outcomes if outcome != "200"]


@contextmanager
def steady_callers(url: str, *, pause: float = PAUSE_SECONDS) -> Iterator[Record]:
    """Ask the service at `url` from four connections until the block ends."""
    record, over = Record(), threading.Event()

    def ask() -> None:
        with httpx2.Client(timeout=PATIENCE_SECONDS) as client:
            while not over.is_set():
                record.outcomes.append(status_of(client, url))
                time.sleep(pause)

    threads = [threading.Thread(target=ask) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    try:
        yield record
    finally:
        over.set()
        for thread in threads:
            thread.join()


def status_of(client: httpx2.Client, url: str) -> str:
    """Ask for one prediction, and return its status, or why there is none."""
    try:
        answer = client.post(f"{url}/v1/predict", json=SURVIVAL.example)
    except httpx2.TransportError as error:
        return repr(error)
    return str(answer.status_code)
