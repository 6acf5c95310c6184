"""No request holds the event loop for long, whatever it sends: others are answered meanwhile.

What counts is the time of the processor between two turns of the loop, not that of the clock: a
busy machine makes nothing worse. `make benchmark ARGS=event_loop` asks the real service.
"""

import asyncio
import gc
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.app import Service, create_app
from api.http.documents import FEW_BYTES, narrow_json
from api.settings import Settings
from tests.api.test_bodies import LINE, Caller
from tests.api.uploading import publish
from tests.tiny_graphs import identity
from tests.worst_bodies import PLAIN, Worst, worst

MOST_SECONDS = 0.1  # five times what is promised, as processors differ


@pytest.fixture(scope="module")
def app(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    state = tmp_path_factory.mktemp("state")
    publish(state, PLAIN, identity((None,)))
    app = create_app(Settings(model_dir=models, state_dir=state, keys=LINE))
    app.services.uploads.look()
    gc.collect()
    gc.freeze()  # as in the service: what is loaded at the start is not looked at again
    yield app
    gc.unfreeze()
    app.services.pools.readers.stop()
    app.services.reading.stop()


async def longest_hold(app: Service, request: Worst) -> tuple[int, float]:
    """Return the status of the answer, and how long this thread had no other turn, in seconds."""
    caller = Caller(app, (request.method, request.path, (b"content-type", b"application/json")))
    caller.send(request.body)
    longest = 0.0
    while not caller.answer.done():
        began = time.thread_time()
        await asyncio.sleep(0)
        longest = max(longest, time.thread_time() - began)
    await caller.answer
    return caller.status, longest


@pytest.mark.parametrize("request_", list(worst()), ids=lambda each: each.name)
def test_no_body_holds_the_event_loop(app: Service, request_: Worst) -> None:
    status, seconds = asyncio.run(longest_hold(app, request_))
    assert 200 <= status < 500
    assert seconds < MOST_SECONDS


def test_few_items_of_a_declaration_are_looked_at() -> None:
    (request_,) = [each for each in worst() if each.name == "PATCH: objects for numbers"]
    assert len(narrow_json(request_.body, {"image", "width", "height", "mean"})) < FEW_BYTES
