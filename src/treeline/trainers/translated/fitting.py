"""An estimator that is fitted on Spark and predicts without it."""

from math import ceil
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from treeline.artifact.pickled import predict
from treeline.engines.spark import answered, labelled, quiet, session
from treeline.errors import TrainingError
from treeline.registry import load_class
from treeline.trainers.translated import KINDS, translated

ROWS_A_PARTITION = 100_000
ROWS_COMPARED = 100_000  # of the training rows, with Spark's own answers
TOLERANCE = 1e-6  # XGBoost answers in float32

Matrix = NDArray[Any]


class OnSpark(BaseEstimator):
    """Fits the estimator of Spark's at an import path; what it predicts with is the translation.

    `options` are the estimator's own; `place` is where it was declared, for messages.
    """

    def __init__(self, path: str, place: str, **options: Any) -> None:
        self.path = path
        self.place = place
        self.options = options

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the arguments that make the same again; scikit-learn copies by them."""
        return {"path": self.path, "place": self.place, **self.options}

    def set_params(self, **options: Any) -> Self:
        """Change options of the estimator."""
        self.options = {**self.options, **options}
        return self

    def fit(self, matrix: Matrix, target: Matrix) -> Self:
        """Fit on float32 rows of shape (n_rows, n_columns), translate, and hold to Spark's answers.

        Raises TrainingError for rows that the estimator cannot take, and where the translation does
        not answer as Spark does.
        """
        kind = KINDS[self.path]
        if not kind.missing:
            self._refuse_missing(matrix)
        if self.path.endswith(".NaiveBayes"):
            self._refuse_uncounted(matrix)
        estimator = load_class(self.path, place=self.place)(**self.options)
        parts = ceil(len(matrix) / ROWS_A_PARTITION)
        if estimator.hasParam("num_workers"):
            parts = estimator.getOrDefault("num_workers")
        with session("treeline") as started, quiet():
            rows = labelled(started, matrix, target, partitions=parts).persist()
            model = estimator.fit(rows)
            plain = translated(model, kind, width=matrix.shape[1])
            answers = answered(model.transform(rows.where(f"row < {ROWS_COMPARED}")))
            rows.unpersist()
        self._hold(plain, matrix[:ROWS_COMPARED], answers)
        self.fitted_ = plain
        return self

    def __getattr__(self, name: str) -> Any:
        if name in ("predict", "predict_proba", "classes_") and "fitted_" in vars(self):
            return getattr(self.fitted_, name)
        raise AttributeError(name)

    def _refuse_missing(self, matrix: Matrix) -> None:
        if gaps := int(np.isnan(matrix).any(axis=1).sum()):
            raise TrainingError(
                f"{self.place}: {self.path} takes no missing values, and {gaps} rows have some; "
                "declare a `fill` for the feature or, under `numbers`, "
                "sklearn.impute.SimpleImputer"
            )

    def _refuse_uncounted(self, matrix: Matrix) -> None:
        """Refuse what Spark refuses too, but at some rows only, and at times when it predicts."""
        kind = self.options.get("modelType", "multinomial")
        allowed = {
            "multinomial": ("no value below 0", matrix >= 0),
            "complement": ("no value below 0", matrix >= 0),
            "bernoulli": ("no value but 0 and 1", (matrix == 0) | (matrix == 1)),
        }
        words, fits = allowed.get(kind, ("", np.array([True])))
        if not fits.all():
            raise TrainingError(
                f"{self.place}: {self.path} with modelType {kind} takes {words}, and there is "
                f"{float(matrix[~fits][0]):g}; declare `options: {{modelType: gaussian}}`"
            )

    def _hold(self, plain: Any, matrix: Matrix, answers: dict[str, Matrix]) -> None:
        """Raise TrainingError unless the translation answers as Spark did for the same rows."""
        given, expected = predict(plain, matrix), answers["prediction"]
        if given.values is not None:
            scale = np.maximum(np.abs(expected), 1)
            differing, largest = 0, float(np.max(np.abs(given.values - expected) / scale))
        else:
            differing = int(np.sum(given.labels != expected))
            largest = float(np.max(np.abs(given.scores - answers["probability"])))
        if differing or largest > TOLERANCE:
            raise TrainingError(
                f"{self.place}: {self.path}: what was taken over from Spark differs from it in "
                f"{differing} of {len(matrix)} labels and by up to {largest:.2g}; this version of "
                "Spark keeps its models in another way, so install the one in requirements/"
            )
