"""From a world that turns to a model that has learnt it, and back to silence."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner

from examples.seedlings.season import DRY, NAME, WEEK_SECONDS, Week, begin, declared, main, week
from tests.github.evaluator import lacking
from tests.github.run import Run
from tests.recorded import HEADERS, KEY, KEY_LINE
from tests.serving import serving
from tests.waiting import wait_until
from tests.workflows.runner import Forge, trained

MONITOR = "monitor.yml"


class InService:
    """A service over the models of a forge's clone, and a log in which weeks pass at a word."""

    def __init__(self, forge: Forge, client: httpx2.Client, log: Path) -> None:
        self._forge, self._client, self._log = forge, client, log

    @property
    def version(self) -> str:
        """The version that answers now."""
        return str(self._client.get("/readyz").json()["models"][NAME])

    def ask(self, number: int, *, rows: int) -> None:
        """Let a wet week be answered and its truths be told, as the example does it by hand."""
        words = ["ask", str(number), "--rows", str(rows), "--url", str(self._client.base_url)]
        with self._more(rows, of="feedback"):
            done = CliRunner(env={"TREELINE_SERVICE_KEY": KEY}).invoke(
                main, words, catch_exceptions=False
            )
        assert "of them right" in done.output

    def answer(self, asked: Week) -> list[str]:
        """Let a week be answered, and return the ids once the log has them."""
        path = f"/v1/models/{NAME}/predict/batch"
        with self._more(len(asked.truth), of="predictions"):
            answers = self._client.post(path, json=asked.records).raise_for_status().json()
        return [str(each["id"]) for each in answers]

    def tell(self, ids: list[str], asked: Week) -> None:
        """Tell what came true, and wait until the log has it."""
        truths = [
            {"id": id, "truth": truth} for id, truth in zip(ids, asked.truth.tolist(), strict=True)
        ]
        with self._more(len(ids), of="feedback"):
            self._client.post("/v1/feedback", json=truths).raise_for_status()

    def weeks_pass(self, count: int) -> None:
        """Let all that is in the log be so much older."""
        with sqlite3.connect(self._log, timeout=20) as database:
            for table in ("predictions", "feedback"):
                database.execute(f"UPDATE {table} SET time = time - {count * WEEK_SECONDS}")

    def deploy(self) -> None:
        """Bring what is released into service."""
        clone = self._forge.clone
        clone.run("git", "pull", "--quiet", "origin", "main")
        clone.run("dvc", "pull", "--quiet")

    @contextmanager
    def _more(self, count: int, *, of: str) -> Iterator[None]:
        """Wait, after what is done, until a table of the log has so many rows more."""
        query = f"SELECT count(*) FROM {of}"
        before = self._count(query)
        yield
        wait_until(lambda: self._count(query) >= before + count, seconds=60, what=f"{of} are there")

    def _count(self, query: str) -> int:
        with sqlite3.connect(self._log, timeout=20) as database:
            [[count]] = database.execute(query)
        return int(count)


@pytest.fixture(scope="module")
def seedlings(tmp_path_factory: pytest.TempPathFactory) -> Forge:
    """Return a forge with a model that has learnt from what people answered."""
    if reason := lacking():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("seedlings")
    (folder / "state").mkdir(mode=0o700)
    url = f"sqlite:///{log_in(folder)}"
    begin(url, rows=800, at=time.time() - 5 * WEEK_SECONDS)
    return trained(folder / "first", declared(url))


def log_in(folder: Path) -> Path:
    return folder / "state" / "predictions.sqlite"


@pytest.fixture
def in_service(seedlings: Forge, tmp_path: Path) -> Iterator[tuple[Forge, InService]]:
    folder = seedlings.folder.parent
    forge = seedlings.copied(tmp_path / "all")
    settings = {
        "API_KEYS": KEY_LINE,
        "API_WATCH_SECONDS": "0.2",
        "API_STATE_DIR": str(folder / "state"),
    }
    with (
        serving(forge.clone.root / "model", tmp_path / "log", **settings) as service,
        httpx2.Client(base_url=service.url, headers=HEADERS, timeout=60) as client,
    ):
        forge.variables = {"MONITOR_LOG": service.url}
        forge.secrets = forge.secrets | {"MONITOR_KEY": KEY}
        yield forge, InService(forge, client, log_in(folder))


def night(forge: Forge) -> Run:
    [run] = forge.wait_for_the_night(MONITOR)
    assert run.conclusion == "success", run.log
    return run


def issue_of(forge: Forge) -> dict[str, Any]:
    [issue] = forge.store.issues
    return issue


def test_a_world_that_turns_is_noticed_learnt_from_and_silence_returns(
    in_service: tuple[Forge, InService],
) -> None:
    forge, service = in_service
    before, first = forge.main, service.version

    service.ask(1, rows=300)
    night(forge)
    assert (forge.main, forge.store.issues) == (before, []), "nothing has changed: nothing is said"

    answered(service, week(2, rows=4000, dry=DRY), weeks_late=3)
    run = night(forge)
    issue = issue_of(forge)
    assert issue["state"] == "open" and "log_loss" in issue["body"]
    assert "A training is started" in issue["body"] and "/raw/" in issue["body"]
    assert run.jobs["train"]["result"] == "success"
    assert forge.git("rev-parse", "main^") == before
    [comment] = forge.comments()
    assert "may ship" in comment["body"] and "better" in comment["body"], comment["body"]

    service.deploy()
    wait_until(lambda: service.version != first, seconds=60, what="the new version answers")
    service.weeks_pass(1)
    answered(service, week(3, rows=300, dry=DRY))
    night(forge)
    issue = issue_of(forge)
    assert issue["state"] == "closed" and "quiet again" in issue["body"], issue["body"]


def answered(service: InService, asked: Week, *, weeks_late: int = 0) -> None:
    """Let a week be answered, and tell what came true, so many weeks late."""
    ids = service.answer(asked)
    if weeks_late:
        service.weeks_pass(weeks_late)
    service.tell(ids, asked)
