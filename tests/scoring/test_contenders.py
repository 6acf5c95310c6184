"""Whatever `compare` may choose can score: rows, no rows, and rows of which some are bad."""

import hashlib
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.drafts import draft
from treeline.artifact.pickled import predict
from treeline.config.models import Candidate
from treeline.contract.features import Feature, Task
from treeline.export.packaging import Package, Proof, packaged
from treeline.preparation.encoding import encoded
from treeline.scoring import Job, Packed
from treeline.scoring.locally import score
from treeline.trainers.compare import candidate_of, contenders
from treeline.trainers.pipeline import build

N = 60
FEATURES = {
    "light": Feature(type="number", minimum=0, maximum=1),
    "height": Feature(type="number"),
    "soil": Feature(type="category", categories=("clay", "loam")),
}
SCHEMA = pa.schema([("light", pa.float64()), ("height", pa.float64()), ("soil", pa.string())])
CLASSES: dict[Task, tuple[str, ...]] = {
    "binary": ("alive", "dead"),
    "multiclass": ("high", "low", "middle"),
    "regression": (),
}
CASES = [(task, path) for task in CLASSES for path in contenders(task, scores=False)]


@cache
def rows() -> pd.DataFrame:
    """Return 60 prepared rows that every estimator can learn something from."""
    rng = np.random.default_rng(3)
    soil = pd.Series(rng.choice(["clay", "loam"], N), dtype="str")
    return pd.DataFrame({"light": rng.random(N), "height": rng.normal(20, 5, N), "soil": soil})


def fitted(task: Task, path: str) -> Any:
    """Return an estimator as the trainer makes it, fitted on the rows."""
    made = contenders(task, scores=False)[path]
    candidate = candidate_of(path, made, FEATURES, Candidate(trainer="compare"))
    signal = rows()["light"] * 3 + (rows()["soil"] == "clay") + 1
    target = signal.to_numpy()
    if task != "regression":
        target = pd.qcut(signal, len(CLASSES[task])).cat.codes.to_numpy(dtype=np.int64)
    pipeline = build(candidate, FEATURES, seed=0, place="here")
    return pipeline.fit(encoded(rows(), FEATURES), target)


def package(task: Task, estimator: Any) -> Package:
    matrix = encoded(rows(), FEATURES).to_numpy()
    first: dict[str, Any] = {"light": 0.5, "height": 20.0, "soil": "clay"}
    proof = Proof(matrix=matrix, first=first, tolerance=1e-5, features=FEATURES)
    return packaged(estimator, draft(task, FEATURES, CLASSES[task]), proof)


def packed(made: Package) -> Packed:
    digests = {name: hashlib.sha256(body).hexdigest() for name, body in made.files.items()}
    signature = made.signature.model_copy(update={"files": digests})
    return Packed(signature.document(), tuple(made.files.items()))


@pytest.mark.parametrize(("task", "path"), CASES, ids=[f"{t}-{p}" for t, p in CASES])
def test_a_contender_scores_as_it_predicts_and_never_without_rows(
    tmp_path: Path, task: Task, path: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few rows and of defaults
        try:
            estimator = fitted(task, path)
        except np.linalg.LinAlgError as error:  # `compare` leaves it out of such a table too
            pytest.skip(f"{path} cannot learn from columns that add up to one: {error}")
        model = packed(package(task, estimator))
        expected = predict(estimator, encoded(rows(), FEATURES))
        whole = _scored(model, tmp_path, rows())
        none = _scored(model, tmp_path, rows().iloc[:0])
        bad = rows().assign(light=[7.0] + [0.5] * (N - 1))
        some = _scored(model, tmp_path, bad)
        nothing_good = _scored(model, tmp_path, bad.iloc[:1])
    found = whole.column("prediction").to_pylist()
    if task == "regression":
        assert expected.values is not None
        np.testing.assert_allclose(found, np.ravel(expected.values), rtol=1e-4)
    else:
        assert expected.labels is not None
        assert found == [CLASSES[task][code] for code in expected.labels]
    assert none.num_rows == 0 and none.schema == whole.schema
    assert some.schema == nothing_good.schema == whole.schema
    assert some.column("prediction").null_count == 1
    assert some.column("error").null_count == N - 1
    assert nothing_good.column("prediction").to_pylist() == [None]
    assert "row 1: light: 7.0 is not admitted" in nothing_good.column("error")[0].as_py()


def _scored(model: Packed, folder: Path, frame: pd.DataFrame) -> pa.Table:
    source, target = folder / "rows.parquet", folder / "scored.parquet"
    table = pa.Table.from_pandas(frame, preserve_index=False)
    parquet.write_table(table.cast(SCHEMA), source)
    assert score(model, Job(source=source, target=target, reporting=True)) == len(frame)
    return parquet.read_table(target)
