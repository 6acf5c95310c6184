"""What runs beside the requests ends with the application, also with one that fails."""

import asyncio
import os
import threading
from pathlib import Path

import pytest

from api.app import create_app
from api.inference.batch_pool import WARM_SECONDS
from api.settings import Settings
from tests.processes import beside


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
