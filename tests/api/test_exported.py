"""The models of this repository: where they are pulled, the API answers as their export did."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from tests.serving import ROOT
from treeline.artifact.store import TRIAL_TOLERANCE
from treeline.contract.signature import Signature

MODELS = ROOT / "model"
EXPORTED = sorted(MODELS.glob("*/signature.json"))


@pytest.fixture(scope="module")
def exported() -> Iterator[TestClient]:
    """The service over the repository's models; pickles too, for they are our own."""
    with TestClient(
        create_app(Settings(model_dir=MODELS, allow_pickle=True, prediction_log=False))
    ) as client:
        yield client


def scores_in(answer: dict[str, object], signature: Signature) -> list[float]:
    """Return what an answer tells of the scores that the signature's example got."""
    task, said = signature.target.task, answer[signature.target.name]
    if task == "regression":
        return [float(str(said))]
    if not signature.probabilities:
        return [float(signature.classes.index(said))]
    if task == "binary":
        probability = float(str(answer["probability"]))
        return [1 - probability, probability]
    shares = answer["probabilities"]
    assert isinstance(shares, dict)
    return list(shares.values())


@pytest.mark.parametrize("path", EXPORTED, ids=lambda path: path.parent.name)
def test_the_api_answers_the_example_of_a_model_as_its_export_did(
    exported: TestClient, path: Path
) -> None:
    signature = Signature.read(path)
    if lost := [name for name in signature.files if not (path.parent / name).is_file()]:
        pytest.skip(f"not pulled: {path.parent.name}/{lost[0]}")
    answer = exported.post(f"/v1/models/{signature.name}/predict", json=signature.example.record)
    assert answer.status_code == 200, answer.text
    assert answer.json()["version"] == signature.version
    assert scores_in(answer.json(), signature) == pytest.approx(
        list(signature.example.scores), rel=TRIAL_TOLERANCE, abs=TRIAL_TOLERANCE
    )
