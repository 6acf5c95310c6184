"""What runs beside the requests ends with the application, also with one that fails."""

import ast
import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI

from api.app import create_app, running
from api.inference.batch_pool import WARM_SECONDS
from api.services import Services
from api.settings import Settings
from tests.processes import beside

API = Path(__file__).parents[2] / "api"
PARTS = 8  # with a registry and a prediction log


class BrokenError(Exception):
    """Something fails while the application runs, or starts."""


def test_nothing_of_an_application_that_fails_goes_on(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    threads, processes = set(threading.enumerate()), beside(os.getpid())
    app = create_app(Settings(model_dir=models, state_dir=tmp_path, registry=("champion",)))
    left: list[object] = []

    async def story() -> None:
        with pytest.raises(BrokenError):
            async with app.router.lifespan_context(app):
                await asyncio.sleep(WARM_SECONDS)  # all of it has begun
                raise BrokenError
        left.extend(asyncio.all_tasks() - {asyncio.current_task()})

    asyncio.run(story())
    assert left == []
    assert [each.name for each in set(threading.enumerate()) - threads] == []
    assert beside(os.getpid()) <= processes


@asynccontextmanager
async def broken() -> AsyncIterator[None]:
    raise BrokenError
    yield


@asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize("started", range(1, PARTS + 1))
def test_what_was_started_ends_where_the_next_part_fails_to_start(
    started: int, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    threads, processes = set(threading.enumerate()), beside(os.getpid())
    settings = Settings(model_dir=models, state_dir=tmp_path, registry=("champion",))
    parts = Services.of(settings).parts(nothing)
    assert len(parts) == PARTS
    left: list[object] = []

    async def story() -> None:
        with pytest.raises(BrokenError):
            async with running([*parts[:started], broken])(FastAPI()):
                pass
        left.extend(asyncio.all_tasks() - {asyncio.current_task()})

    asyncio.run(story())
    assert left == []
    assert [each.name for each in set(threading.enumerate()) - threads] == []
    assert beside(os.getpid()) <= processes


def lifespans() -> Iterator[tuple[str, ast.AsyncFunctionDef]]:
    for path in sorted(API.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.AsyncFunctionDef) and any(
                ast.unparse(each) == "asynccontextmanager" for each in node.decorator_list
            ):
                yield f"{path.relative_to(API)}: {node.name}", node


def closes(node: ast.AST) -> bool:
    """Tell whether each `yield` stands where leaving it runs what ends the work."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Yield):
            return False
        guarded = isinstance(child, ast.AsyncWith | ast.With) or (
            isinstance(child, ast.Try) and bool(child.finalbody)
        )
        if not guarded and not closes(child):
            return False
    return True


def test_every_lifespan_ends_its_work_however_it_is_left() -> None:
    known = dict(lifespans())
    assert len(known) >= PARTS
    assert [name for name, node in known.items() if not closes(node)] == []
