"""A fitted pipeline → a graph that predicts the same, to the side of every split."""

from typing import Any, Self

import numpy as np
import pandas as pd
import pytest
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import QuantileTransformer

from treeline.artifact.onnx import OnnxRuntime
from treeline.errors import ExportError
from treeline.export.conversion import OPSET, converted, plain_bytes
from treeline.trainers.columns import NamedColumns, TypedColumns


class Translated(ClassifierMixin, BaseEstimator):
    """An estimator of another engine's, for which no library has a converter."""

    def __init__(self, logistic: Any) -> None:
        self.logistic = logistic
        self.classes_ = logistic.classes_

    def fit(self, matrix: Any, target: Any) -> Self:
        return self

    def predict(self, matrix: Any) -> Any:
        return self.logistic.predict(matrix)

    def predict_proba(self, matrix: Any) -> Any:
        return self.logistic.predict_proba(matrix)

    def onnx_piece(self, width: int) -> Any:
        return to_onnx(
            self.logistic,
            initial_types=[("features", FloatTensorType([None, width]))],
            options={"zipmap": False},
            target_opset=OPSET,
        )


def pipeline(estimator: Any, target: Any, matrix: Any) -> Pipeline:
    """Return a fitted pipeline of columns without a preparation of their own."""
    names = [f"x{number}" for number in range(matrix.shape[1])]
    made = Pipeline([("names", NamedColumns(names)), ("estimator", estimator)])
    return made.fit(pd.DataFrame(matrix, columns=names), target)


def opened(made: Pipeline) -> OnnxRuntime:
    return OnnxRuntime.load({"model.onnx": plain_bytes(converted(made))})


def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(90, 3)).astype(np.float32)


def test_neighbouring_floats_stay_on_their_side_of_a_split_of_histogram_boosting() -> None:
    values = np.linspace(0, 1, 60, dtype=np.float32)
    frame = np.sort(np.concatenate([values, np.nextafter(values, np.float32(2))]))[:, None]
    target = np.arange(len(frame)) % 2.0  # neighbours differ, so that splits fall between them
    boosting = HistGradientBoostingRegressor(min_samples_leaf=1, max_leaf_nodes=None)
    made = pipeline(boosting, target, frame)
    assert np.ptp(made.predict(frame)) > 0.9
    found = opened(made).predict(frame).values
    assert found is not None
    assert np.allclose(found, made.predict(frame), atol=1e-5)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("how", [{}, {"solver": "lsqr", "shrinkage": 0.3}], ids=["svd", "shrunk"])
def test_a_discriminant_analysis_gives_its_probabilities(
    n_classes: int, how: dict[str, Any]
) -> None:
    target = np.digitize(rows()[:, 0], [-0.5, 0.5][: n_classes - 1])
    made = pipeline(LinearDiscriminantAnalysis(**how), target, rows())
    found = opened(made).predict(rows())
    assert found.scores is not None
    assert np.allclose(found.scores, made.predict_proba(rows()), atol=1e-6)
    assert (found.labels == made.predict(rows())).all()


def test_a_step_may_write_its_own_graph() -> None:
    made = pipeline(LogisticRegression(), rows()[:, 0] > 0, rows())
    expected = made.predict_proba(rows())
    made.steps[-1] = ("estimator", Translated(made[-1]))
    found = opened(made).predict(rows())
    assert found.scores is not None
    assert np.allclose(found.scores, expected, atol=1e-6)


def test_what_is_no_pipeline_has_no_converter() -> None:
    with pytest.raises(ExportError, match="no ONNX converter for LogisticRegression"):
        converted(LogisticRegression())


@pytest.mark.parametrize(
    ("library", "name"), [("lightgbm.sklearn", "LGBMClassifier"), ("catboost.core", "CatBoost")]
)
def test_a_library_that_is_not_converted_says_how_it_is_served(library: str, name: str) -> None:
    rows = np.arange(8, dtype=np.float32).reshape(4, 2)
    named = type(name, (LogisticRegression,), {"__module__": library})
    pipeline = Pipeline([("names", NamedColumns(["a", "b"])), ("estimator", named())])
    with pytest.raises(ExportError) as error:
        converted(pipeline.fit(rows, [0, 1, 0, 1]))
    text = str(error.value)
    assert text.startswith(f"no ONNX converter for {name}: its library is none that is converted")
    assert "API_ALLOW_PICKLE=1" in text and "xgboost" in text


def test_a_step_whose_converter_takes_hours_is_refused_at_once() -> None:
    rows = np.arange(8, dtype=np.float32).reshape(4, 2)
    steps = [
        ("names", NamedColumns(["a", "b"])),
        ("columns", TypedColumns({}, [QuantileTransformer(n_quantiles=4)])),
        ("estimator", LogisticRegression()),
    ]
    with pytest.raises(ExportError, match="no ONNX converter for QuantileTransformer"):
        converted(Pipeline(steps).fit(rows, [0, 1, 0, 1]))
