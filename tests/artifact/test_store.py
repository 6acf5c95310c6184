"""What is on disk is checked against its signature before anything of it is opened."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.tiny_models import ARTIFACT, DIABETES, IRIS, SURVIVAL, Recipe, commit, write_model
from treeline.artifact.onnx import SIGNATURE_KEY
from treeline.artifact.store import ArtifactStore
from treeline.contract.kinds import FLOAT32_MAX
from treeline.contract.signature import Example, Signature
from treeline.errors import ArtifactNotFoundError, ArtifactRejectedError
from treeline.files import digest


@pytest.fixture
def signature(tmp_path: Path) -> Signature:
    return write_model(tmp_path, SURVIVAL)


def refusal(root: Path, name: str = "tree-survival") -> str:
    with pytest.raises(ArtifactRejectedError) as refused:
        ArtifactStore(root).load(name)
    return str(refused.value)


@pytest.mark.parametrize("recipe", [SURVIVAL, IRIS, DIABETES], ids=lambda recipe: recipe.name)
def test_a_model_that_was_written_is_loaded_and_predicts(tmp_path: Path, recipe: Recipe) -> None:
    written = write_model(tmp_path, recipe)
    model = ArtifactStore(tmp_path).load(recipe.name)
    assert model.signature == written
    prediction = model.runtime.predict(model.encoder.matrix([recipe.example] * 3))
    found = prediction.scores if recipe.classes else prediction.values
    assert found is not None and len(found) == 3
    np.testing.assert_allclose(np.atleast_1d(found[2]), written.example.scores, rtol=1e-5)


def test_the_names_are_those_of_folders_with_a_signature(tmp_path: Path) -> None:
    for recipe in (SURVIVAL, IRIS):
        write_model(tmp_path, recipe)
    (tmp_path / "notes").mkdir()
    (tmp_path / "signature.json").write_text("{}")
    assert ArtifactStore(tmp_path).names() == ["iris", "tree-survival"]


def test_a_folder_that_does_not_exist_holds_no_model(tmp_path: Path) -> None:
    assert ArtifactStore(tmp_path / "nowhere").names() == []


@pytest.mark.parametrize("name", ["oak", "../tree-survival", "", "."])
def test_an_unknown_model_is_told_those_there_are(
    tmp_path: Path, signature: Signature, name: str
) -> None:
    with pytest.raises(ArtifactNotFoundError, match="exported are: tree-survival"):
        ArtifactStore(tmp_path).load(name)


def test_a_changed_file_is_refused(tmp_path: Path, signature: Signature) -> None:
    path = tmp_path / "tree-survival" / ARTIFACT
    path.write_bytes(path.read_bytes() + b" ")
    message = refusal(tmp_path)
    assert digest(path)[:12] in message and signature.files[ARTIFACT][:12] in message
    assert f"dvc pull {path}" in message


def test_a_missing_file_is_refused_with_the_way_to_fetch_it(
    tmp_path: Path, signature: Signature
) -> None:
    path = tmp_path / "tree-survival" / ARTIFACT
    path.unlink()
    assert refusal(tmp_path) == f"{path}: missing; fetch it with: dvc pull {path}"


def test_a_file_outside_the_folder_of_the_model_is_refused(
    tmp_path: Path, signature: Signature
) -> None:
    outside = tmp_path / "outside.onnx"
    (tmp_path / "tree-survival" / ARTIFACT).rename(outside)
    commit(tmp_path, signature.model_copy(update={"files": {"../outside.onnx": digest(outside)}}))
    assert "outside.onnx: missing" in refusal(tmp_path)


def test_a_link_that_leaves_the_folder_of_the_model_is_refused(
    tmp_path: Path, signature: Signature
) -> None:
    path = tmp_path / "tree-survival" / ARTIFACT
    path.rename(tmp_path / "outside.onnx")
    os.symlink(tmp_path / "outside.onnx", path)
    assert "missing" in refusal(tmp_path)


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path, signature: Signature) -> None:
    path = tmp_path / "tree-survival" / ARTIFACT
    path.write_bytes(b"no graph")
    commit(tmp_path, signature.model_copy(update={"files": {ARTIFACT: digest(path)}}))
    assert "not a usable ONNX model" in refusal(tmp_path)


def test_a_graph_that_carries_another_contract_is_refused(
    tmp_path: Path, signature: Signature
) -> None:
    commit(tmp_path, signature.model_copy(update={"description": "edited by hand"}))
    assert "the signature inside the artifact is not the committed one" in refusal(tmp_path)


def test_a_lone_graph_tells_its_contract(tmp_path: Path, signature: Signature) -> None:
    graph = onnx.load(tmp_path / "tree-survival" / ARTIFACT)
    carried = {entry.key: entry.value for entry in graph.metadata_props}[SIGNATURE_KEY]
    assert carried == signature.embedded()


def test_a_model_of_before_there_were_words_for_missing_values_opens(tmp_path: Path) -> None:
    signature = write_model(tmp_path, SURVIVAL)
    path = tmp_path / "tree-survival" / ARTIFACT
    graph = onnx.load(path)
    older = json.loads(signature.embedded())
    del older["missing"]
    onnx.helper.set_model_props(graph, {SIGNATURE_KEY: json.dumps(older)})
    path.write_bytes(graph.SerializeToString())
    document = json.loads(signature.document()) | {"files": {ARTIFACT: digest(path)}}
    del document["missing"]
    (tmp_path / "tree-survival" / "signature.json").write_text(json.dumps(document))
    assert ArtifactStore(tmp_path).load("tree-survival").signature.missing == ()


def test_a_model_must_repeat_its_example(tmp_path: Path, signature: Signature) -> None:
    rewritten(tmp_path, signature, scores=(0.9, 0.1))
    message = refusal(tmp_path)
    assert "its example gives [0.58" in message and "[0.9, 0.1]" in message


def test_a_graph_for_other_features_is_refused(tmp_path: Path, signature: Signature) -> None:
    write_model(tmp_path, replace(IRIS, name="tree-survival"))
    path = tmp_path / "tree-survival" / ARTIFACT
    graph = onnx.load(path)
    onnx.helper.set_model_props(graph, {SIGNATURE_KEY: signature.embedded()})
    path.write_bytes(graph.SerializeToString())
    commit(tmp_path, signature.model_copy(update={"files": {ARTIFACT: digest(path)}}))
    assert "its example cannot be predicted" in refusal(tmp_path)


def test_a_difference_of_rounding_is_no_difference(tmp_path: Path, signature: Signature) -> None:
    first, second = signature.example.scores
    rewritten(tmp_path, signature, scores=(first + 1e-6, second - 1e-6))
    assert ArtifactStore(tmp_path).load("tree-survival")


def test_a_signature_in_another_models_folder_is_refused(
    tmp_path: Path, signature: Signature
) -> None:
    (tmp_path / "tree-survival").rename(tmp_path / "oak")
    assert "belongs to 'tree-survival', not 'oak'" in refusal(tmp_path, "oak")


def test_the_largest_float32_does_not_overflow(tmp_path: Path, signature: Signature) -> None:
    model = ArtifactStore(tmp_path).load("tree-survival")
    matrix = model.encoder.matrix([{**SURVIVAL.example, "Phenolics": FLOAT32_MAX}])
    assert np.isfinite(matrix).all()


def rewritten(root: Path, signature: Signature, *, scores: tuple[float, ...]) -> None:
    """Claim other scores for the example, consistently in the graph and beside it."""
    example = Example(record=signature.example.record, scores=scores)
    claimed = signature.model_copy(update={"example": example})
    path = root / signature.name / ARTIFACT
    graph = onnx.load(path)
    onnx.helper.set_model_props(graph, {SIGNATURE_KEY: claimed.embedded()})
    path.write_bytes(graph.SerializeToString())
    commit(root, claimed.model_copy(update={"files": {ARTIFACT: digest(path)}}))
