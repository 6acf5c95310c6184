"""One model in memory: JSON bytes → checked record → answer. Knows its contract, and no HTTP."""

from math import isfinite

from pydantic import ValidationError
from pydantic_core import to_json

from api.errors import UnusableAnswerError
from api.schemas import OWN_KEYS, record_validator
from api.validation import explain
from treeline.artifact.encoding import Record
from treeline.artifact.features import Value
from treeline.artifact.prediction import Prediction
from treeline.artifact.store import Model
from treeline.errors import ArtifactRejectedError, TreelineError

Answer = dict[str, Value | dict[Value, float]]


class Predictor:
    """A loaded model behind its contract."""

    def __init__(self, model: Model) -> None:
        """Tie a model to its contract; raises ArtifactRejectedError when they do not fit."""
        self.signature = model.signature
        self._model = model
        self._parse = record_validator(model.signature).validator.validate_json
        name, key = self.signature.name, self.signature.target.name
        if key in OWN_KEYS:
            raise ArtifactRejectedError(
                f"{name}: its target is named {key!r}, and an answer uses that key itself; "
                f"rename the column (taken are: {', '.join(sorted(OWN_KEYS))})"
            )
        try:
            self.example_answer = self.predict(self.parse(to_json(self.signature.example.record)))
        except TreelineError as error:
            raise ArtifactRejectedError(
                f"{name}: its own example is not answered: {error}; export the model again"
            ) from error

    def parse(self, body: bytes) -> Record:
        """Read one record of JSON; raises MalformedBodyError and InvalidInputError."""
        try:
            record: Record = self._parse(body)
            return record
        except ValidationError as error:
            raise explain(error, self.signature.features) from error

    def predict(self, record: Record) -> Answer:
        """Answer one checked record: the target's own name is the key, the prediction its value.

        A classifier with probabilities adds `probability`: of the positive class when there are
        two classes, else of the predicted one, next to `probabilities` of all.
        Raises UnusableAnswerError.
        """
        prediction = self._model.runtime.predict(self._model.encoder.matrix([record]))
        if self.signature.target.task == "regression":
            return {self.signature.target.name: self._value(prediction)}
        return self._classified(prediction)

    def answer(self, body: bytes, *, prediction_id: str) -> bytes:
        """Answer the JSON of one record with the JSON of its prediction.

        Raises MalformedBodyError, InvalidInputError and UnusableAnswerError.
        """
        return to_json(self.signed(self.predict(self.parse(body)), prediction_id=prediction_id))

    def signed(self, answer: Answer, *, prediction_id: str) -> Answer:
        """Return an answer with the id of the prediction, and who gave it."""
        own: Answer = {"model": self.signature.name, "version": self.signature.version}
        return {**answer, "id": prediction_id, **own}

    def _value(self, prediction: Prediction) -> float:
        if prediction.values is None:
            raise UnusableAnswerError(f"{self.signature.name}: the model gave no value")
        return self._finite(float(prediction.values[0]))

    def _classified(self, prediction: Prediction) -> Answer:
        name, classes, target = self.signature.name, self.signature.classes, self.signature.target
        if prediction.labels is None or not 0 <= (code := int(prediction.labels[0])) < len(classes):
            raise UnusableAnswerError(f"{name}: the model gave none of its {len(classes)} classes")
        answer: Answer = {target.name: classes[code]}
        if not self.signature.probabilities:
            return answer
        if prediction.scores is None or prediction.scores.shape != (1, len(classes)):
            raise UnusableAnswerError(f"{name}: the model gave no probability for each class")
        scores = [self._finite(score) for score in prediction.scores[0].tolist()]
        if target.task == "binary":
            return {**answer, "probability": scores[-1]}
        shares = dict(zip(classes, scores, strict=True))
        return {**answer, "probability": scores[code], "probabilities": shares}

    def _finite(self, number: float) -> float:
        if not isfinite(number):
            raise UnusableAnswerError(f"{self.signature.name}: the model gave {number}, no number")
        return number
