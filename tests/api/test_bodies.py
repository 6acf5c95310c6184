"""Bodies: what holds a slot, what fills the memory, and what must keep coming."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from api.app import Service, create_app
from api.http.keyring import new_key
from api.settings import Settings
from tests.api.test_security_limits import scope
from tests.tiny_models import SURVIVAL

KEY, LINE = new_key("trainer")
RECORD = json.dumps(SURVIVAL.example).encode()
JSON = (b"content-type", b"application/json")
CSV = (b"content-type", b"text/csv")
KEYED = (b"x-api-key", KEY.encode())
FOREVER, WAIT_SECONDS = 1e6, 60
FORM = (b"content-type", b"multipart/form-data; boundary=x")
PREDICT = ("POST", "/v1/predict", JSON)
DOORS = [
    PREDICT,
    ("POST", "/v1/predict/batch", CSV),
    ("POST", "/v1/predict/batch", JSON),
    ("POST", "/v2/models/tree-survival/infer", JSON),
    ("POST", "/v2/repository/index", JSON),
    ("POST", "/v1/feedback", JSON),
    ("PATCH", "/v1/models/mine", JSON),
    ("PUT", "/v1/models/mine", (b"content-type", b"application/onnx")),
    ("PUT", "/v1/models/mine", FORM),
]
Door = tuple[str, str, tuple[bytes, bytes]]
RECORDED = SURVIVAL.example.items()
COLUMNS, ROW = (",".join(map(str, each)).encode() for each in zip(*RECORDED, strict=True))
BLANK = b" " * 10_000
# How bodies begin and go on that are not refused for what is in them; others may be blank.
ENDLESS = {
    CSV: (COLUMNS + b"\n", (ROW + b"\n") * 200),
    FORM: (b'--x\r\nContent-Disposition: form-data; name="model"; filename="m"\r\n\r\n', BLANK),
}


class Caller:
    """Sends a body piece by piece, and keeps what is answered."""

    def __init__(self, app: Service, door: Door, *, length: int | None = None) -> None:
        method, path, media_type = door
        self.pieces: asyncio.Queue[tuple[bytes, bool]] = asyncio.Queue()
        self.status, self.headers, self.body = 0, {}, b""  # type: ignore[var-annotated]
        asked = scope(path, method=method)
        asked["headers"] = [media_type, KEYED]
        if length is not None:
            asked["headers"].append((b"content-length", b"%d" % length))
        self.answer = asyncio.create_task(app(asked, self._receive, self._send))

    def send(self, piece: bytes, *, more: bool = False) -> None:
        self.pieces.put_nowait((piece, more))

    async def _receive(self) -> dict[str, Any]:
        body, more = await self.pieces.get()
        return {"type": "http.request", "body": body, "more_body": more}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        self.body += message.get("body", b"")


Story = Callable[[Service], Coroutine[Any, Any, None]]


@pytest.fixture
def play(models: Path, tmp_path: Path) -> Callable[..., None]:
    """Let a story happen with an application of some settings."""

    def run(story: Story, **settings: Any) -> None:
        app = create_app(Settings(model_dir=models, state_dir=tmp_path, keys=LINE, **settings))
        asyncio.run(story(app))

    return run


@pytest.mark.parametrize("door", DOORS, ids=str)
def test_a_body_that_does_not_come_ends_with_408(play: Callable[..., None], door: Door) -> None:
    async def story(app: Service) -> None:
        caller = Caller(app, door)
        caller.send(b"-", more=True)
        await asyncio.wait_for(caller.answer, WAIT_SECONDS)
        assert caller.status == 408
        assert caller.headers[b"connection"] == b"close"
        assert b"API_BODY_SECONDS" in caller.body

    play(story, body_seconds=0.1)


def test_a_body_that_comes_slowly_is_waited_for_as_long_as_it_comes(
    play: Callable[..., None],
) -> None:
    async def story(app: Service) -> None:
        slow, slower = Caller(app, PREDICT), Caller(app, PREDICT)
        for at in range(len(RECORD)):
            last = at == len(RECORD) - 1
            slow.send(RECORD[at : at + 1], more=not last)
            if at < 2:
                slower.send(RECORD[at : at + 1], more=True)
            await asyncio.sleep(3 / len(RECORD))
        await asyncio.wait_for(asyncio.gather(slow.answer, slower.answer), WAIT_SECONDS)
        assert (slow.status, slower.status) == (200, 408)

    play(story, body_seconds=1, body_bytes_per_second=len(RECORD) // 4)


@pytest.mark.parametrize("door", DOORS, ids=str)
def test_half_sent_bodies_turn_no_one_away(play: Callable[..., None], door: Door) -> None:
    async def story(app: Service) -> None:
        waiting = []
        for _ in range(6):
            waiting.append(Caller(app, door))
            waiting[-1].send(b"--x" if door[2] == FORM else b"{", more=True)
            await asyncio.sleep(0.05)
        assert [each.status for each in waiting if each.answer.done()] == []
        prompt = Caller(app, PREDICT)
        prompt.send(RECORD)
        await prompt.answer
        assert prompt.status == 200
        for each in waiting:
            each.answer.cancel()
        await asyncio.gather(*(each.answer for each in waiting), return_exceptions=True)
        assert app.services.load.under_way == 0
        assert app.services.load.streams == 0

    play(story, max_requests=2, body_seconds=FOREVER)


@pytest.mark.parametrize("door", [DOORS[1], DOORS[7], DOORS[8]], ids=str)
def test_there_are_fewer_streams_than_requests(play: Callable[..., None], door: Door) -> None:
    async def story(app: Service) -> None:
        first = Caller(app, DOORS[1])
        first.send(b"a", more=True)
        await asyncio.sleep(0.2)
        second = Caller(app, door)
        second.send(b"a", more=True)
        await asyncio.wait_for(second.answer, WAIT_SECONDS)
        assert second.status == 503
        assert b"API_MAX_STREAMS" in second.body
        assert int(second.headers[b"retry-after"]) >= 1
        first.answer.cancel()
        await asyncio.gather(first.answer, return_exceptions=True)
        assert (app.services.load.under_way, app.services.load.streams) == (0, 0)

    play(story, max_streams=1, body_seconds=FOREVER)


@pytest.mark.parametrize("door", [DOORS[0], *DOORS[3:7]], ids=str)
def test_all_bodies_together_fill_no_more_than_their_budget(
    play: Callable[..., None], door: Door
) -> None:
    async def story(app: Service) -> None:
        first, second = Caller(app, PREDICT), Caller(app, door)
        first.send(b" " * 9000, more=True)
        await asyncio.sleep(0.1)
        second.send(b" " * 2000, more=True)
        await asyncio.wait_for(second.answer, WAIT_SECONDS)
        assert second.status == 503
        assert b"API_BODIES_BYTES" in second.body
        assert int(second.headers[b"retry-after"]) >= 1
        assert app.services.bodies.held == 9000
        first.send(RECORD)
        await first.answer
        assert first.status == 200
        assert app.services.bodies.held == 0

    play(story, bodies_bytes=10_000, body_seconds=FOREVER)


@pytest.mark.parametrize("door", DOORS, ids=str)
def test_a_body_that_says_it_is_too_large_is_refused_unread(
    play: Callable[..., None], door: Door
) -> None:
    async def story(app: Service) -> None:
        caller = Caller(app, door, length=10**19)
        await asyncio.wait_for(caller.answer, WAIT_SECONDS)
        assert caller.status == 413

    play(story)


@pytest.mark.parametrize("door", DOORS, ids=str)
def test_a_body_that_says_no_length_is_refused_while_it_comes(
    play: Callable[..., None], door: Door
) -> None:
    async def story(app: Service) -> None:
        caller, (head, rest) = Caller(app, door), ENDLESS.get(door[2], (b"", BLANK))
        caller.send(head, more=True)
        for _ in range(20):  # of which some are never read
            caller.send(rest, more=True)
        await asyncio.wait_for(caller.answer, WAIT_SECONDS)
        assert caller.status == 413
        assert caller.pieces.qsize() > 0

    sizes = ("body", "batch", "whole", "upload")
    play(story, **{f"max_{each}_bytes": 100_000 for each in sizes}, body_seconds=FOREVER)
