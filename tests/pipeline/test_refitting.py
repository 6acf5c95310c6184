"""With `refit: all` the judged champion is fitted again on all rows, and that model is exported."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from tests.conftest import Project
from tests.stages import made
from treeline.artifact.pickled import opened, predict
from treeline.artifact.store import ArtifactStore
from treeline.config.models import ModelSpec
from treeline.contract.signature import Learnt
from treeline.preparation.encoding import encoded, encoded_target


def test_the_exported_model_is_fitted_on_all_rows_and_judged_by_those_of_the_split(
    project: Project,
) -> None:
    plain, paths = made(project), project.paths
    train_rows, test_rows = (pd.read_parquet(each) for each in (paths.train, paths.test))
    whole = len(train_rows) + len(test_rows)
    assert plain.learnt == Learnt(rows=len(train_rows), refit="train")
    assert "fitted again" not in paths.card.read_text()
    document: Any = project.document()
    document["models"][project.name]["champion"]["refit"] = "all"
    project.write(document)
    signature = made(project)
    assert signature.learnt == Learnt(rows=whole, refit="all")
    record = json.loads(paths.training.read_text())
    assert record["learnt"] == {"rows": whole, "refit": "all"}
    assert signature.metrics == plain.metrics and signature.version != plain.version
    assert f"fitted again on all {whole:,} rows" in paths.card.read_text()
    judged = opened(paths.estimator, digests=record["digests"])
    spec, classes = project.spec, list(signature.classes)
    rows = pd.concat([train_rows, test_rows], ignore_index=True)
    target = encoded_target(rows[spec.target.name], classes)
    expected = predict(
        clone(judged).fit(encoded(rows, spec.features), target), encoded(test_rows, spec.features)
    )
    store = ArtifactStore(paths.model.parent, admitted=frozenset({"onnx"}))
    found = store.load(project.name).runtime.predict(encoded(test_rows, spec.features).to_numpy())
    assert expected.scores is not None and found.scores is not None
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    before = predict(judged, encoded(test_rows, spec.features)).scores
    assert before is not None and np.abs(before - found.scores).max() > 1e-3


def test_what_cannot_be_fitted_again_is_refused_when_it_is_declared(
    declaration: dict[str, Any],
) -> None:
    declaration["champion"]["refit"] = "all"
    declaration["candidates"] = {"automl": {"trainer": "h2o"}}
    with pytest.raises(
        ValueError, match=r"`champion\.refit` refits the champion, which `trainer: h2o`"
    ):
        ModelSpec.model_validate(declaration)
