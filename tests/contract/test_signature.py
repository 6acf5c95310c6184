"""The contract: what it holds, what it refuses, and what its version is made of."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_models import IRIS, SURVIVAL, Recipe, write_model
from treeline.contract.features import Feature
from treeline.contract.signature import Signature, version_of
from treeline.contract.texts import is_slug, slug_of
from treeline.errors import ArtifactRejectedError


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(write_model(tmp_path, SURVIVAL).document())
    return found


def refusal(document: dict[str, Any]) -> str:
    with pytest.raises(ArtifactRejectedError) as refused:
        Signature.parse(json.dumps(document), place="model/oak/signature.json")
    return str(refused.value)


@pytest.mark.parametrize("recipe", [SURVIVAL, IRIS], ids=lambda recipe: recipe.name)
def test_what_was_written_is_read_back(tmp_path: Path, recipe: Recipe) -> None:
    written = write_model(tmp_path, recipe)
    read = Signature.read(tmp_path / recipe.name / "signature.json")
    assert read == written
    assert read.document() == written.document()


def test_the_features_keep_their_order(tmp_path: Path) -> None:
    written = write_model(tmp_path, SURVIVAL)
    read = Signature.parse(written.document(), place="here")
    assert list(read.features) == list(SURVIVAL.features)


def test_the_copy_inside_the_artifact_holds_no_digest_of_it(tmp_path: Path) -> None:
    written = write_model(tmp_path, SURVIVAL)
    inside = Signature.parse(written.embedded(), place="model.onnx")
    assert inside.files == {}
    assert inside.model_copy(update={"files": written.files}) == written


def test_an_unknown_key_is_refused_by_name(document: dict[str, Any]) -> None:
    document["features"]["Leaves"]["maximun"] = 9
    message = refusal(document)
    assert message.startswith("model/oak/signature.json: features.Leaves.maximun:")
    assert "export the model again" in message


def test_a_format_of_the_future_is_refused(document: dict[str, Any]) -> None:
    assert "format" in refusal(document | {"format": 2})


def test_a_missing_key_is_refused_by_name(document: dict[str, Any]) -> None:
    del document["target"]
    assert "signature.json: target:" in refusal(document)


def test_something_that_is_no_json_is_refused() -> None:
    with pytest.raises(ArtifactRejectedError, match="here: document: Invalid JSON"):
        Signature.parse("<html>", place="here")


@pytest.mark.parametrize(
    "name", ["", "../up", "Oak", "_a", "a_", "-a", "a--b", "a__b", "a_-b", "a.b", "a\n", "x" * 64]
)
def test_a_name_that_is_no_slug_is_refused(document: dict[str, Any], name: str) -> None:
    assert "name" in refusal(document | {"name": name})


@pytest.mark.parametrize("name", ["oak", "my_model", "my-model", "3_d-oak", "x" * 63])
def test_a_name_may_have_hyphens_and_underscores(document: dict[str, Any], name: str) -> None:
    assert Signature.parse(json.dumps(document | {"name": name}), place="here").name == name


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("MyModel", "mymodel"),
        ("My Model.v2", "my-model-v2"),
        ("_private__thing_", "private_thing"),
        ("x" * 62 + "-y", "x" * 62),
        ("Größe", "grosse"),
        ("Ärzte je Straße (ﬁnal)", "arzte-je-strasse-final"),
        ("crème brûlée", "creme-brulee"),
        ("Øl på Łódź", "ol-pa-lodz"),
        ("é" * 70, "e" * 63),
        ("日本", "my-model"),
    ],
)
def test_instead_of_a_name_that_is_none_there_is_one_like_it(name: str, wanted: str) -> None:
    assert slug_of(name) == wanted
    assert is_slug(wanted)


def test_the_version_changes_with_the_contract_and_with_the_bytes() -> None:
    features, target = SURVIVAL.features, SURVIVAL.target
    version = version_of(b"graph", features=features, target=target)
    described = {**features, "Leaves": Feature(type="integer", minimum=1)}
    turned = dict(reversed(features.items()))
    assert version == version_of(b"graph", features=dict(features), target=target)
    assert version != version_of(b"other", features=features, target=target)
    assert version != version_of(b"graph", features=described, target=target)
    assert version != version_of(b"graph", features=turned, target=target)
