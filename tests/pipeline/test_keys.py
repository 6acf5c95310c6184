"""A key goes from the rows to the test predictions and the signature; no estimator sees it."""

import pandas as pd

from api.inference.record import Predictor
from tests.conftest import Project
from tests.stages import made
from treeline.artifact.store import ArtifactStore


def test_a_key_is_carried_from_the_rows_to_the_signature(project: Project) -> None:
    without = made(project)
    before = pd.read_parquet(project.paths.predictions)
    project.replace("      columns: {Plot", "      key: Plot\n      columns: {Plot")
    signature = made(project)
    assert (without.key, signature.key) == (None, "Plot")
    assert signature.features == without.features
    assert signature.version != without.version
    assert signature.example == without.example
    predictions = pd.read_parquet(project.paths.predictions)
    test = pd.read_parquet(project.paths.test)
    assert predictions["key"].tolist() == test["Plot"].tolist()
    assert predictions.drop(columns="key").equals(before)
    assert {*predictions["prediction"]} <= {0, 1} and predictions["truth"].dtype == "int64"
    store = ArtifactStore(project.paths.model.parent, admitted=frozenset({"onnx"}))
    predictor = Predictor(store.load(project.name))
    record = {**dict(signature.example.record), "Plot": 12}
    assert predictor.predict(predictor.validate(record)) == predictor.example_answer
