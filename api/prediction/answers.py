"""What a model says of a row → the answer to a record: a document, or the bytes that are sent."""

from math import isfinite

from pydantic_core import to_json

from api.errors import UnusableAnswerError
from api.prediction.micro_batching import Predicted
from treeline.contract.features import ANSWER_KEYS, Value
from treeline.contract.signature import Signature
from treeline.errors import ArtifactRejectedError

Answer = dict[str, Value | dict[Value, float]]


class Answers:
    """Words the predictions of one model: the target's own name is the key of its value."""

    def __init__(self, signature: Signature) -> None:
        """Raises ArtifactRejectedError when the target has the name of a key that answers use."""
        self._signature = signature
        self._tail = b'",' + to_json({"model": signature.name, "version": signature.version})[1:]
        name, key = signature.name, signature.target.name
        if key in ANSWER_KEYS:
            raise ArtifactRejectedError(
                f"{name}: its target is named {key!r}, and an answer uses that key itself; "
                f"rename the column (taken are: {', '.join(sorted(ANSWER_KEYS))})"
            )

    def worded(self, predicted: Predicted) -> Answer:
        """Return what is predicted, under the names that people know.

        A classifier with probabilities adds `probability`: of the positive class when there are
        two classes, else of the predicted one, next to `probabilities` of all.
        Raises UnusableAnswerError.
        """
        if self._signature.target.task == "regression":
            return {self._signature.target.name: self._value(predicted)}
        return self._classified(predicted)

    def signed(self, answer: Answer, *, prediction_id: str) -> Answer:
        """Return an answer with the id of the prediction, and who gave it."""
        own: Answer = {"model": self._signature.name, "version": self._signature.version}
        return {**answer, "id": prediction_id, **own}

    def written(self, predicted: Predicted, *, prediction_id: str) -> bytes:
        """Return the JSON of the signed answer; what is always the same is written once."""
        answer = to_json(self.worded(predicted))
        return b'%b,"id":"%b%b' % (answer[:-1], prediction_id.encode(), self._tail)

    def _value(self, predicted: Predicted) -> float:
        if predicted.value is None:
            raise UnusableAnswerError(f"{self._signature.name}: the model gave no value")
        return self._finite(predicted.value)

    def _classified(self, predicted: Predicted) -> Answer:
        signature, classes = self._signature, self._signature.classes
        name, target, code = signature.name, signature.target, predicted.label
        if code is None or not 0 <= code < len(classes):
            raise UnusableAnswerError(f"{name}: the model gave none of its {len(classes)} classes")
        answer: Answer = {target.name: classes[code]}
        if not signature.probabilities:
            return answer
        if predicted.scores is None or len(predicted.scores) != len(classes):
            raise UnusableAnswerError(f"{name}: the model gave no probability for each class")
        scores = [self._finite(score) for score in predicted.scores]
        if target.task == "binary":
            answer["probability"] = scores[-1]
            return answer
        shares = dict(zip(classes, scores, strict=True))
        return {**answer, "probability": scores[code], "probabilities": shares}

    def _finite(self, number: float) -> float:
        if not isfinite(number):
            raise UnusableAnswerError(f"{self._signature.name}: the model gave {number}, no number")
        return number
