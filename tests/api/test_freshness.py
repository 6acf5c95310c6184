"""What a client was told is true for its next request, whichever worker or replica gets it.

Two services of three workers share one state folder. Each request has a connection of its own, so
that it lands on any of the six; after every change some doors are asked, and none may answer as if
it had not happened.
"""

import json
import random
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from api.errors import TooBusyError
from api.inference.images import ImageInput
from api.models.uploaded import UploadStore
from api.models.watcher import Generation
from tests.api.uploading import HEADERS, KEYS, publish, uploading
from tests.serving import Service, serving
from tests.tiny_graphs import identity, scaled
from tests.tiny_models import IRIS, build_graph, sign
from tests.waiting import wait_until

Json = dict[str, Any]
ROUNDS = 3
READS = 6  # after each change: predictions, and other doors as chance has it
HEADER = ",".join(IRIS.features)
ROW = ",".join(str(IRIS.example[name]) for name in IRIS.features)


@dataclass
class Clients:
    """Callers of two services, each request over a connection of its own, to either."""

    services: list[Service]
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    def __post_init__(self) -> None:
        headers = {**HEADERS, "Connection": "close"}
        self._client = httpx2.Client(headers=headers, timeout=60)

    def ask(self, method: str, path: str, **given: Any) -> httpx2.Response:
        return self._client.request(method, self.chance.choice(self.services).url + path, **given)

    def get(self, path: str) -> Any:
        return self.ask("GET", path).json()

    def post(self, path: str, **given: Any) -> httpx2.Response:
        return self.ask("POST", path, **given)


@pytest.fixture
def clients(models: Path, tmp_path: Path) -> Iterator[Clients]:
    settings = {
        "API_KEYS": KEYS,
        "API_STATE_DIR": str(tmp_path / "state"),
        "API_RUN_PROCESSES": "1",
        "API_PREDICTION_LOG": "false",
        "WEB_CONCURRENCY": "3",
    }
    with ExitStack() as stack:
        both = [
            stack.enter_context(serving(models, tmp_path / f"log-{each}", **settings))
            for each in range(2)
        ]
        yield Clients(both)


@dataclass(frozen=True)
class Truth:
    """What the last change made of one model: its version and description; None: there is none."""

    name: str
    version: str | None = None
    description: str = ""
    offered: bool = True
    factor: float | None = None

    @property
    def served(self) -> bool:
        return self.version is not None and self.offered

    @property
    def status(self) -> int:
        """The status of a prediction, and of whatever needs the model to be in service."""
        if self.version is None:
            return 404
        return 200 if self.offered else 503


def predicts(ask: Clients, truth: Truth) -> bool:
    question = IRIS.example if truth.factor is None else {"values": [1]}
    answer = ask.post(f"/v1/models/{truth.name}/predict", json=question)
    if answer.status_code != 200:
        return answer.status_code == truth.status
    found = answer.json()
    right = truth.factor is None or found["values"] == [truth.factor]
    return truth.served and right and found["version"] == truth.version


def predicts_a_table(ask: Clients, truth: Truth) -> bool:
    if truth.factor is not None:
        return True  # it takes no tables
    path = f"/v1/models/{truth.name}/predict/batch"
    answer = ask.post(path, content=f"{HEADER}\n{ROW}\n", headers={"Content-Type": "text/csv"})
    if answer.status_code != 200:
        return answer.status_code == truth.status
    return truth.served and str(truth.version) in answer.text


def infers(ask: Clients, truth: Truth) -> bool:
    if truth.factor is None:
        names = [(name, [IRIS.example[name]]) for name in IRIS.features]
        inputs = [{"name": n, "datatype": "FP64", "shape": [1], "data": d} for n, d in names]
    else:
        inputs = [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}]
    answer = ask.post(f"/v2/models/{truth.name}/infer", json={"inputs": inputs})
    if answer.status_code != 200:
        return answer.status_code == truth.status
    return truth.served and answer.json()["model_version"] == truth.version


def has_a_card(ask: Clients, truth: Truth) -> bool:
    answer = ask.ask("GET", f"/v1/models/{truth.name}")
    if answer.status_code != 200:
        return answer.status_code == truth.status
    card = answer.json()
    return (card["version"], card["description"] or "") == (truth.version, truth.description)


def has_metadata(ask: Clients, truth: Truth) -> bool:
    answer = ask.ask("GET", f"/v2/models/{truth.name}")
    if answer.status_code != 200:
        return answer.status_code == truth.status
    return truth.served and answer.json()["versions"] == [truth.version]


def is_ready(ask: Clients, truth: Truth) -> bool:
    return ask.ask("GET", f"/v2/models/{truth.name}/ready").status_code == truth.status


def is_listed(ask: Clients, truth: Truth) -> bool:
    listed = {each["name"]: each for each in ask.get("/v1/models")["models"]}
    if truth.version is None or truth.name not in listed:
        return truth.version is None and truth.name not in listed
    found = listed[truth.name]
    if found["ready"] != truth.offered:
        return False
    return not truth.offered or (found["version"], found["description"]) == (
        truth.version,
        truth.description,
    )


def is_in_the_index(ask: Clients, truth: Truth) -> bool:
    listed = {each["name"]: each for each in ask.post("/v2/repository/index").json()}
    if truth.version is None or truth.name not in listed:
        return truth.version is None and truth.name not in listed
    return (listed[truth.name]["state"] == "READY") == truth.offered


def is_told_by_readyz(ask: Clients, truth: Truth) -> bool:
    found = ask.get("/readyz")
    return found["models"].get(truth.name) == (truth.version if truth.served else None) and (
        (truth.name in found["unloaded"]) == (truth.version is not None and not truth.offered)
    )


def is_on_the_page(ask: Clients, truth: Truth) -> bool:
    page = ask.ask("GET", "/", params={"model": truth.name})
    if truth.version is None:
        return page.status_code == 404
    said = truth.description if truth.factor is None else f"version {truth.version}"
    return page.status_code == 200 and (not truth.offered or said in page.text)


def is_documented(ask: Clients, truth: Truth) -> bool:
    there = f"/v1/models/{truth.name}/predict" in ask.get("/openapi.json")["paths"]
    return there == truth.served


DOORS: tuple[Callable[[Clients, Truth], bool], ...] = (
    *(predicts, predicts_a_table, infers, has_a_card, has_metadata, is_ready, is_listed),
    *(is_in_the_index, is_told_by_readyz, is_on_the_page, is_documented),
)


class Story:
    """Changes of one model, each followed by questions at all doors."""

    def __init__(self, ask: Clients, stale: list[str], counted: list[int]) -> None:
        self._ask, self._stale, self._counted = ask, stale, counted

    def check(self, change: str, truth: Truth) -> None:
        self._counted[0] += 1
        for door in (predicts, *self._ask.chance.sample(DOORS, READS - 1)):
            self._counted[1] += 1
            if not door(self._ask, truth):
                self._stale.append(f"{door.__name__} after {change} of {truth.name}")

    def put(self, name: str, payload: bytes, factor: float | None, description: str) -> Truth:
        files, data = {"file": payload}, {"description": description}
        answer = self._ask.ask("PUT", f"/v1/models/{name}", files=files, data=data)
        assert answer.status_code in (200, 201), answer.text
        truth = Truth(name, answer.json()["version"], description, factor=factor)
        self.check("PUT", truth)
        return truth

    def describe(self, truth: Truth, description: str) -> Truth:
        change = {"description": description}
        answer = self._ask.ask("PATCH", f"/v1/models/{truth.name}", json=change)
        assert answer.status_code == 200, answer.text
        truth = replace(truth, description=description)
        self.check("PATCH", truth)
        return truth

    def turn(self, truth: Truth, *, on: bool) -> Truth:
        word = "load" if on else "unload"
        answer = self._ask.post(f"/v2/repository/models/{truth.name}/{word}")
        assert answer.status_code == 200, answer.text
        truth = replace(truth, offered=on)
        self.check(word, truth)
        return truth

    def delete(self, truth: Truth) -> None:
        answer = self._ask.ask("DELETE", f"/v1/models/{truth.name}")
        assert answer.status_code == 204, answer.text
        self.check("DELETE", Truth(truth.name, factor=truth.factor))


def typed(number: int) -> bytes:
    """Return the bytes of a model that takes records, other ones for each number."""
    graph = build_graph(IRIS)
    graph.doc_string = f"the {number}th"
    sign(graph, IRIS)
    return graph.SerializeToString()


def test_no_worker_of_no_replica_answers_as_before_a_change(clients: Clients) -> None:
    stale: list[str] = []
    counted = [0, 0]
    story = Story(clients, stale, counted)
    card = clients.get("/v1/models/iris")
    git = Truth("iris", card["version"], card["description"])
    for number in range(ROUNDS):
        payloads = {"values": scaled(number + 1).SerializeToString(), "records": typed(number)}
        for name, payload in payloads.items():
            factor = float(number + 1) if name == "values" else None
            truth = story.put(name, payload, factor, f"The {number}th, {name}")
            for each in range(8):
                truth = story.describe(truth, f"Described {number} {each}, {name}")
            for _ in range(2):
                git = story.turn(story.turn(git, on=False), on=True)
                truth = story.turn(story.turn(truth, on=False), on=True)
            if number % 2:  # else it is replaced, and then uploaded anew under the same name
                story.delete(truth)
    print(json.dumps({"changes": counted[0], "questions": counted[1], "stale": len(stale)}))
    assert counted[0] >= 100
    assert stale == []
    for service in clients.services:
        assert not re.search(r"Traceback|\[ERROR\]", service.log.read_text())


def test_one_that_cannot_be_loaded_just_now_is_not_answered_by_the_former(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def value(client: TestClient) -> Any:
        answer = client.post("/v1/models/double/predict", json={"values": [1]})
        return answer.json()["values"] if answer.status_code == 200 else answer.status_code

    def busy(*_: object) -> None:
        raise TooBusyError("Others are first.")

    with uploading(models, tmp_path) as one, uploading(models, tmp_path) as other:
        payloads = [scaled(factor).SerializeToString() for factor in (2, 3)]
        assert one.put("/v1/models/double", content=payloads[0]).status_code == 201
        assert value(other) == [2]
        with monkeypatch.context() as patched:
            patched.setattr(other.app.services.graphs, "contract", busy)  # type: ignore[attr-defined]
            assert one.put("/v1/models/double", content=payloads[1]).status_code == 200
            assert (value(one), value(other)) == ([3], 503)
            assert "is not loaded yet" in other.get("/readyz").json()["refused"]["double"]
        wait_until(lambda: value(other) == [3], seconds=10, what="it is loaded")
        assert one.delete("/v1/models/double").status_code == 204
        assert value(other) == 404


def test_who_describes_a_model_undoes_nothing_that_another_says_of_it(tmp_path: Path) -> None:
    store, image = UploadStore(tmp_path / "uploads"), ImageInput(width=6, height=4)
    upload = publish(tmp_path, "eye", identity([1, 3, 4, 6]))
    store.describe("eye", upload.sha256, {"image": image})
    store.describe("eye", upload.sha256, {"description": "An eye"})
    assert (store.upload("eye").image, store.upload("eye").description) == (image, "An eye")


def test_a_count_that_was_removed_by_hand_is_counted_on(tmp_path: Path) -> None:
    path = tmp_path / "changes" / "uploads"
    one, other = Generation(path), Generation(path)
    one.follow()
    seen = {one.count()}
    for _ in range(3):
        other.advance()
        seen.add(one.count())
    path.unlink()
    other.advance()
    one.follow()
    seen.add(one.count())
    assert len(seen) == 5


def test_where_nothing_can_be_written_there_is_nothing_to_count(tmp_path: Path) -> None:
    (tmp_path / "changes").write_text("no folder")
    count = Generation(tmp_path / "changes" / "uploads")
    count.follow()
    assert count.count() == 0
