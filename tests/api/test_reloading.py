"""A model that changes on disk is swapped while it is served; one that is broken is not."""

import re
import shutil
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.models.catalogue import DEFAULT_PATH, Catalogue
from api.models.exported import LOOKS
from api.services import Services
from api.settings import Settings
from tests.serving import serving
from tests.tiny_models import ARTIFACT, DIABETES, IRIS, SURVIVAL, Recipe, write_model
from tests.waiting import wait_until

OFTEN = 0.05  # seconds
OTHER = replace(SURVIVAL, weights={"Light_ISF": 0.5, "EMF": 0.01})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of two models, to be changed at will."""
    for recipe in (SURVIVAL, IRIS):
        write_model(tmp_path / "model", recipe)
    return tmp_path / "model"


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    with TestClient(
        create_app(Settings(model_dir=folder, watch_seconds=OFTEN, prediction_log=False))
    ) as client:
        yield client


def versions(client: TestClient) -> dict[str, str]:
    found: dict[str, str] = client.get("/readyz").json()["models"]
    return found


def refused(client: TestClient) -> dict[str, str]:
    found: dict[str, str] = client.get("/readyz").json()["refused"]
    return found


def swaps(client: TestClient, outcome: str) -> float:
    """Return how often the metrics say that a change of the survival model ended so."""
    labels = f'{{model="tree-survival",outcome="{outcome}"}}'
    found = re.search(
        re.escape(f"treeline_model_swaps_total{labels}") + r" (\S+)", client.get("/metrics").text
    )
    return float(found[1]) if found else 0


def put(folder: Path, name: str, source: Path) -> None:
    """Bring a model into a folder as `dvc pull` does: its artifact first, then its signature."""
    for part in (ARTIFACT, "signature.json"):
        draft = folder / name / f"{part}.draft"
        shutil.copyfile(source / name / part, draft)
        draft.replace(folder / name / part)


def test_a_changed_model_is_swapped(client: TestClient, folder: Path) -> None:
    before = versions(client)
    write_model(folder, OTHER)
    wait_until(lambda: versions(client) != before, seconds=10, what="the other version is served")
    answer = client.post("/v1/predict", json=SURVIVAL.example).json()
    assert answer["version"] == versions(client)["tree-survival"] != before["tree-survival"]
    assert versions(client)["iris"] == before["iris"]
    assert swaps(client, "swapped") >= 1


def test_a_new_model_is_served_and_documented(client: TestClient, folder: Path) -> None:
    write_model(folder, DIABETES)
    wait_until(lambda: "diabetes" in versions(client), seconds=10, what="the new one is served")
    assert client.post("/v1/models/diabetes/predict", json=DIABETES.example).status_code == 200
    assert "/v1/models/diabetes/predict" in client.get("/openapi.json").json()["paths"]


def test_a_model_that_is_removed_and_written_anew_is_served_meanwhile(folder: Path) -> None:
    reloader = Services.of(Settings(model_dir=folder, prediction_log=False)).reloader
    before = reloader.catalogue.versions()
    for part in ("signature.json", ARTIFACT):
        (folder / "tree-survival" / part).unlink()
    reloader.look()
    assert reloader.catalogue.versions() == before
    write_model(folder, OTHER)
    reloader.look()
    after = reloader.catalogue.versions()
    assert after["tree-survival"] != before["tree-survival"]
    (folder / "tree-survival" / "signature.json").unlink()
    for _ in range(LOOKS - 1):
        reloader.look()
    assert reloader.catalogue.versions() == after
    reloader.look()
    assert "tree-survival" not in reloader.catalogue.versions()


ROSES = replace(IRIS, name="roses", default=True)
CHANGES: dict[str, tuple[Sequence[Recipe], Sequence[Recipe], set[str | None]]] = {
    # what lies in the folder before and after, and the default models meanwhile
    "two come at once": ((), (IRIS, SURVIVAL), {None, "tree-survival"}),
    "the first comes alone": ((), (IRIS,), {None, "iris"}),
    "another one comes beside the default": ((SURVIVAL,), (IRIS, SURVIVAL), {"tree-survival"}),
    "another default comes": ((IRIS, SURVIVAL), (IRIS, ROSES), {"tree-survival", "roses"}),
    "the default goes, and one is left": ((IRIS, SURVIVAL), (IRIS,), {"tree-survival", "iris"}),
    "all others come": ((IRIS, SURVIVAL), (DIABETES, ROSES), {"tree-survival", "roses"}),
}  # fmt: skip


@pytest.mark.parametrize("looks", [1, LOOKS])
@pytest.mark.parametrize("change", CHANGES)
def test_no_model_stands_in_for_the_default_while_models_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, looks: int
) -> None:
    """Of several that change in one look, the first would be the only one there for a moment."""
    before, after, admitted = CHANGES[change]
    folder = tmp_path / "model"
    folder.mkdir()
    for recipe in before:
        write_model(folder, recipe)
    reloader = Services.of(Settings(model_dir=folder, prediction_log=False)).reloader
    reloader.looks = looks
    offer, seen = Catalogue._offer, list[str | None]()

    def watched(catalogue: Catalogue, *arguments: Any) -> None:
        offer(catalogue, *arguments)
        seen.append(catalogue.default_name if DEFAULT_PATH in catalogue.by_path else None)

    monkeypatch.setattr(Catalogue, "_offer", watched)
    for recipe in (each for each in before if each not in after):
        shutil.rmtree(folder / recipe.name)
    for recipe in after:
        write_model(folder, recipe)
    for name in (recipe.name for recipe in after[:1]):
        reloader.look_at(name)  # as a request does, where another worker has it already
    for _ in range(looks):
        reloader.look()
    assert set(seen) <= admitted
    assert reloader.catalogue.default_name == seen[-1] == wanted(after)


def wanted(recipes: Sequence[Recipe]) -> str:
    """Return the name of the default model among recipes: the one that says so, or is alone."""
    return next((each.name for each in recipes if each.default), recipes[0].name)


def test_a_default_that_is_written_anew_gives_way_to_no_other(folder: Path) -> None:
    reloader = Services.of(Settings(model_dir=folder, prediction_log=False)).reloader
    (folder / "tree-survival" / "signature.json").unlink()
    for _ in range(LOOKS - 1):
        reloader.look()
        assert reloader.catalogue.default_name == "tree-survival"
    reloader.look()
    assert reloader.catalogue.default_name == "iris", "the only one left"


def test_a_model_that_is_gone_is_served_no_more(client: TestClient, folder: Path) -> None:
    shutil.rmtree(folder / "iris")
    wait_until(lambda: "iris" not in versions(client), seconds=10, what="it is gone")
    assert client.post("/v1/models/iris/predict", json=IRIS.example).status_code == 404


@pytest.mark.parametrize("fault", ["half a file", "another file", "no signature to read"])
def test_a_broken_one_is_refused_and_the_former_serves_on_until_it_is_mended(
    client: TestClient, folder: Path, tmp_path: Path, fault: str
) -> None:
    before = versions(client)
    write_model(tmp_path / "other", OTHER)
    artifact = (tmp_path / "other" / "tree-survival" / ARTIFACT).read_bytes()
    if fault == "half a file":
        (folder / "tree-survival" / ARTIFACT).write_bytes(artifact[: len(artifact) // 2])
    elif fault == "another file":
        (folder / "tree-survival" / ARTIFACT).write_bytes(artifact)
    else:
        (folder / "tree-survival" / "signature.json").write_text("{")
    wait_until(lambda: bool(refused(client)), seconds=10, what="it is refused")
    assert list(refused(client)) == ["tree-survival"]
    assert swaps(client, "refused") >= 1
    assert versions(client) == before
    assert client.post("/v1/predict", json=SURVIVAL.example).status_code == 200
    put(folder, "tree-survival", tmp_path / "other")
    wait_until(lambda: not refused(client), seconds=10, what="it is whole, and served")
    assert versions(client) != before


def test_a_model_that_was_broken_from_the_start_is_served_when_it_is_whole(
    folder: Path, tmp_path: Path
) -> None:
    write_model(tmp_path / "good", IRIS)
    (folder / "iris" / ARTIFACT).unlink()
    with TestClient(
        create_app(Settings(model_dir=folder, watch_seconds=OFTEN, prediction_log=False))
    ) as client:
        assert client.get("/readyz").status_code == 503
        put(folder, "iris", tmp_path / "good")
        wait_until(lambda: client.get("/readyz").status_code == 200, seconds=10, what="it is ready")


def test_nobody_looks_where_that_is_switched_off(folder: Path) -> None:
    with TestClient(
        create_app(Settings(model_dir=folder, watch_seconds=0, prediction_log=False))
    ) as client:
        before = versions(client)
        write_model(folder, OTHER)
        assert versions(client) == before


def test_no_request_fails_while_all_workers_swap(folder: Path, tmp_path: Path) -> None:
    models = [
        write_model(tmp_path / str(number), replace(SURVIVAL, weights={"Light_ISF": number + 0.3}))
        for number in range(2)
    ]
    failures: list[str] = []
    recent: deque[str] = deque(maxlen=30)
    over = threading.Event()

    def ask(url: str) -> None:
        with httpx2.Client() as asker:
            while not over.is_set():
                answer = asker.post(f"{url}/v1/predict", json=SURVIVAL.example)
                recent.append(answer.json().get("version", ""))
                if answer.status_code != 200:
                    failures.append(answer.text)

    with serving(folder, tmp_path / "log", API_WATCH_SECONDS="0.05") as service:
        askers = [threading.Thread(target=ask, args=(service.url,)) for _ in range(4)]
        for asker in askers:
            asker.start()
        try:
            for turn in range(6):
                recent.clear()
                put(folder, "tree-survival", tmp_path / str(turn % 2))
                only_the_new_one = partial(all_are, recent, models[turn % 2].version)
                wait_until(only_the_new_one, seconds=20, what="every worker serves the new one")
        finally:
            over.set()
            for asker in askers:
                asker.join()
    assert failures == []


def all_are(recent: deque[str], version: str) -> bool:
    """Tell whether as many answers as are remembered came from one version."""
    seen = list(recent)
    return len(seen) == recent.maxlen and set(seen) == {version}
