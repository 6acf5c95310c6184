"""A pickle runs code when it is opened: so it is opened last, and only where that was asked for."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from starlette.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from tests.tiny_models import DIABETES, SURVIVAL, Recipe, commit, describe
from treeline.artifact.pickled import opened, pickled, predict
from treeline.artifact.store import ArtifactStore, scores_of
from treeline.contract.encoding import Encoder
from treeline.errors import ArtifactRejectedError
from treeline.files import digest, write_bytes

PICKLE = "artifact/model.pkl"
ADMITTING = frozenset({"onnx", "pickle"})


def test_a_pickle_is_the_same_bytes_whatever_the_default_protocol() -> None:
    estimator = LinearRegression()
    assert pickled(estimator) == pickle.dumps(estimator, protocol=4)


class Trap:
    """Whoever unpickles this makes a file."""

    def __init__(self, evidence: Path) -> None:
        self._evidence = evidence

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self._evidence,)


def fitted(recipe: Recipe) -> LinearRegression | LogisticRegression:
    """Return an estimator for the features of a recipe, fitted on rows made up for it."""
    rows = np.random.default_rng(0).normal(size=(40, len(recipe.features)))
    if recipe.classes:
        return LogisticRegression().fit(rows, (rows[:, 0] > 0).astype(int))
    return LinearRegression().fit(rows, rows[:, 0])


def write_pickled(root: Path, recipe: Recipe, payload: object) -> Path:
    """Export a recipe for the pickle runtime, and return the path of the pickle."""
    path = root / recipe.name / PICKLE
    body = pickle.dumps(payload)
    write_bytes(path, body)
    scores = [0.0]
    if hasattr(payload, "predict"):
        scores = scores_of(predict(payload, Encoder(recipe.features).matrix([recipe.example])))
    signature = describe(recipe, scores=scores, payload=body)
    changes = {"runtime": "pickle", "files": {PICKLE: digest(path)}}
    commit(root, signature.model_copy(update=changes))
    return path


@pytest.mark.parametrize("recipe", [SURVIVAL, DIABETES], ids=lambda recipe: recipe.name)
def test_a_pickle_is_served_where_that_was_asked_for(tmp_path: Path, recipe: Recipe) -> None:
    write_pickled(tmp_path, recipe, fitted(recipe))
    client = TestClient(create_app(Settings(model_dir=tmp_path, allow_pickle=True)))
    answer = client.post("/v1/predict", json=recipe.example)
    assert answer.status_code == 200, answer.text
    assert recipe.target.name in answer.json()


def test_a_pickle_is_not_opened_by_default(tmp_path: Path) -> None:
    evidence = tmp_path / "it-ran"
    write_pickled(tmp_path, DIABETES, Trap(evidence))
    with pytest.raises(ArtifactRejectedError, match="set API_ALLOW_PICKLE=1 for the service"):
        ArtifactStore(tmp_path).load("diabetes")
    client = TestClient(create_app(Settings(model_dir=tmp_path)))
    assert client.get("/readyz").status_code == 503
    assert not evidence.exists()


def test_a_changed_pickle_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    evidence = tmp_path / "it-ran"
    path = write_pickled(tmp_path, DIABETES, fitted(DIABETES))
    path.write_bytes(pickle.dumps(Trap(evidence)))
    with pytest.raises(ArtifactRejectedError, match="its SHA-256 begins"):
        ArtifactStore(tmp_path, admitted=ADMITTING).load("diabetes")
    assert not evidence.exists()


def test_the_trap_works_once_its_digest_is_committed(tmp_path: Path) -> None:
    """Or else the two tests above would prove nothing."""
    evidence = tmp_path / "it-ran"
    write_pickled(tmp_path, DIABETES, Trap(evidence))
    with pytest.raises(ArtifactRejectedError, match="its example cannot be predicted"):
        ArtifactStore(tmp_path, admitted=ADMITTING).load("diabetes")
    assert evidence.exists()


def test_a_pickle_of_unknown_classes_names_the_way_out(tmp_path: Path) -> None:
    path = write_pickled(tmp_path, DIABETES, fitted(DIABETES))
    path.write_bytes(b"cno_such_module\nThing\n.")
    signature = ArtifactStore(tmp_path).signature("diabetes")
    commit(tmp_path, signature.model_copy(update={"files": {PICKLE: digest(path)}}))
    with pytest.raises(ArtifactRejectedError, match="library versions named in its signature"):
        ArtifactStore(tmp_path, admitted=ADMITTING).load("diabetes")


@pytest.mark.parametrize("digests", [{}, {"model.pkl": "0" * 64}, {"baseline.pkl": "its own"}])
def test_a_pickle_that_is_not_that_of_the_training_is_not_opened(
    tmp_path: Path, digests: dict[str, str]
) -> None:
    path, evidence = tmp_path / "model.pkl", tmp_path / "evidence"
    path.write_bytes(pickle.dumps(Trap(evidence)))
    known = {name: digest(path) if text == "its own" else text for name, text in digests.items()}
    with pytest.raises(ArtifactRejectedError, match="it is not opened, for it can run code"):
        opened(path, digests=known)
    assert not evidence.exists()


def test_the_pickle_of_the_training_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"a": 1}))
    assert opened(path, digests={"model.pkl": digest(path)}) == {"a": 1}
