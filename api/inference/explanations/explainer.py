"""A model → what explains its answers: exactly where its graph can be read so, else by sampling."""

from collections.abc import Awaitable, Callable, Generator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from api.contract.schemas import EXPLAIN, EXPLANATION
from api.formats.explained import Explained, joined
from api.inference.explanations.background import Background
from api.inference.explanations.sampling import Estimate, estimate
from treeline.artifact import Prediction
from treeline.contract.encoding import Matrix
from treeline.contract.signature import Signature
from treeline.errors import ArtifactRejectedError, InvalidInputError, Problem

Floats = NDArray[np.float64]
NO_CLASS = -1
Questions = Generator[Matrix, Prediction, Explained]
Predict = Callable[[Matrix], Prediction]


class Exact(Protocol):
    """What reads the graph: `api.inference.explanations.exact`."""

    @property
    def scale(self) -> str:
        """On which scale contributions add up."""

    def explained(self, row: Matrix, answer: int) -> tuple[float, Floats]:
        """Return the base and what each feature adds, for a row of shape (1, n_features)."""


class Explainer:
    """Explains the answers of one model.

    It runs nothing itself: it yields rows for the model, and takes what is predicted for them.
    """

    def __init__(
        self, signature: Signature, *, background: Background, exact: Exact | None = None
    ) -> None:
        """Explain by `exact` where there is such a reading."""
        self._signature, self._background, self._exact = signature, background, exact

    def of(self, matrix: Matrix) -> Questions:
        """Yield rows of shape (n, n_features), take their predictions; return what is explained.

        `matrix` is float32 of shape (n_rows, n_features), with at least one row.
        """
        parts = []
        prediction = yield matrix
        for at, answer in enumerate(self._answers(prediction, len(matrix))):
            row = matrix[at : at + 1]
            if self._exact is None:
                parts.append((yield from self._sampled(row, answer)))
            else:
                parts.append(self._exactly(self._exact, row, answer))
        return joined(parts)

    def _exactly(self, exact: Exact, row: Matrix, answer: int) -> Explained:
        place = answer if self._signature.target.task == "multiclass" else 0
        base, added = exact.explained(row, place)
        return Explained(exact.scale, np.array([answer]), np.array([base]), added[None])

    def _sampled(self, row: Matrix, answer: int) -> Questions:
        """Estimate for one row; of a classifier without probabilities, how often a class comes."""
        questions = estimate(row, self._background)
        rows = next(questions)
        while True:
            prediction = yield rows
            try:
                rows = questions.send(self._numbers(prediction, answer))
            except StopIteration as ended:
                made: Estimate = ended.value
                break
        return Explained(
            self._scale(),
            np.array([answer]),
            np.array([made.base]),
            made.added[None],
            np.array([made.base_error]),
            made.errors[None],
        )

    def _scale(self) -> str:
        if self._signature.target.task == "regression":
            return "value"
        return "probability" if self._signature.probabilities else "vote"

    def _answers(self, prediction: Prediction, count: int) -> list[int]:
        """Return the class to explain of each row: that whose probability is answered."""
        signature = self._signature
        if signature.target.task == "regression":
            return [NO_CLASS] * count
        if signature.target.task == "binary" and signature.probabilities:
            return [len(signature.classes) - 1] * count
        if prediction.labels is None:
            raise ArtifactRejectedError(f"{signature.name}: the model gave no classes")
        return [int(label) for label in prediction.labels]

    def _numbers(self, prediction: Prediction, answer: int) -> Floats:
        """Return what is explained of each row of a prediction, shape (n_rows,)."""
        if answer == NO_CLASS:
            return np.asarray(prediction.values, np.float64).ravel()
        if self._signature.probabilities:
            return np.asarray(prediction.scores, np.float64)[:, answer]
        return np.asarray(np.asarray(prediction.labels) == answer, np.float64)


def sampling_of(signature: Signature) -> Explainer:
    """Return what explains a model of which nothing is known but its answers."""
    return Explainer(signature, background=Background.of(signature))


def run(questions: Questions, predict: Predict) -> Explained:
    """Return what is explained, with the model here."""
    rows = next(questions)
    while True:
        try:
            rows = questions.send(predict(rows))
        except StopIteration as ended:
            explained: Explained = ended.value
            return explained


async def run_apart(
    questions: Questions, predict: Callable[[Matrix], Awaitable[Prediction]]
) -> Explained:
    """Return what is explained, with the model elsewhere."""
    rows = next(questions)
    while True:
        prediction = await predict(rows)
        try:
            rows = questions.send(prediction)
        except StopIteration as ended:
            explained: Explained = ended.value
            return explained


def check_explained(signature: Signature, *, most_rows: int) -> None:
    """Raise InvalidInputError where answers of a model cannot be explained."""
    text = ""
    if not most_rows:
        text = "nothing is explained here: API_MAX_EXPLAINED_ROWS is 0"
    elif signature.target.name == EXPLANATION:
        text = f"the target of this model is named {EXPLANATION!r} itself"
    if text:
        raise InvalidInputError([Problem(EXPLAIN, f"{text}; ask without `explain`")])
