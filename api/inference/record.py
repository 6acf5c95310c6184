"""One record in JSON becomes a checked record, a prediction, and the bytes of an answer.

A record of usual length is read in one step. A longer one, and one that is refused, is taken apart
first: what a contract has no name for is looked at, never handed on, so that the work and the
problems are bounded by the contract and not by what somebody sends. Nothing here knows HTTP.
"""

from collections.abc import Awaitable, Callable, Mapping
from itertools import islice
from math import isfinite
from typing import Any

import numpy as np
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from api.contract.faults import BODY, MAX_PROBLEMS, bounded, problem_of
from api.contract.schemas import EXTRA_COLUMNS, LEAVE_OUT, REFUSE, ignored_of, record_validator
from api.contract.truths import Truths
from api.errors import MalformedBodyError, UnusableAnswerError
from api.inference.micro_batching import MicroBatcher, Predicted
from api.inference.resting import RestingRuntime
from treeline.artifact import Prediction
from treeline.artifact.store import Model
from treeline.contract.encoding import Matrix, Record
from treeline.contract.features import ANSWER_KEYS, KEY_CHARACTERS, Feature, Value
from treeline.contract.problems import listed, named, shown
from treeline.contract.signature import Signature
from treeline.errors import ArtifactRejectedError, InvalidInputError, Problem, TreelineError

WANTED = "give one JSON object whose keys are the features"
WIDE = 64  # features: with more, one step takes longer than two, as it looks for each among all
VALUE_BYTES = 32  # that any number takes
LONG_BYTES = 64 << 10  # whose structure is looked at before it is read
PART = 256  # features whose values are judged at a time, when much is wrong
STRUCTURE = {
    b":": "has {count} keys or thereabouts, and this model {features} features",
    b"{": "holds objects, and values of features are none",
    b"[": "holds lists, and values of features are none",
}


class Records:
    """Reads the records of one contract."""

    def __init__(self, signature: Signature) -> None:
        validator = record_validator(signature).validator
        self.validate: Callable[[object], Record] = validator.validate_python
        self._read: Callable[[bytes], Record] = validator.validate_json
        self._features: Mapping[str, Feature] = signature.features
        self._signature = signature
        self._names = signature.record_names
        self._example = dict(signature.example.record)
        self._most = {each: most_of(each, signature) for each in STRUCTURE}
        self._usual_bytes = 0
        if len(signature.features) <= WIDE:
            self._usual_bytes = 2 * sum(bytes_of(*each) for each in signature.features.items())
            if signature.key is not None:
                self._usual_bytes += len(to_json(signature.key)) + KEY_CHARACTERS

    def read(self, body: bytes) -> Record:
        """Read one record of JSON; raises MalformedBodyError and InvalidInputError."""
        if len(body) <= self._usual_bytes:
            try:
                return self._read(body)
            except ValidationError:
                pass
        if len(body) > LONG_BYTES:
            self._check_structure(body)
        try:
            record = from_json(body)
        except ValueError as error:
            raise MalformedBodyError(f"The body is not JSON: {error}") from error
        if not isinstance(record, dict):
            text = f"{shown(record)} is {named(record)}; {WANTED}"
            raise InvalidInputError([Problem(BODY, text, record)])
        return self._checked(record)

    def without_extra(self, body: bytes, *, extra: str) -> tuple[bytes, tuple[str, ...]]:
        """Return the JSON of a record without the keys that are to be ignored, and these.

        What cannot be read, or has very many keys, comes back as it is: reading it says why.
        """
        if extra == REFUSE or (
            len(body) > LONG_BYTES
            and any(body.count(sign) > most + EXTRA_COLUMNS for sign, most in self._most.items())
        ):
            return body, ()
        try:
            record = from_json(body)
        except ValueError:
            return body, ()
        if not isinstance(record, dict):
            return body, ()
        ignored = ignored_of(record, self._signature, extra=extra)
        if not ignored or len(ignored) > EXTRA_COLUMNS:
            return body, ()
        known = {name: record[name] for name in self._names if name in record}
        return to_json(known, inf_nan_mode="constants"), ignored

    def _check_structure(self, body: bytes) -> None:
        """Refuse what holds more than any record can; raises InvalidInputError."""
        for sign, most in self._most.items():
            if (count := body.count(sign)) > most:
                wrong = STRUCTURE[sign].format(count=count, features=len(self._features))
                raise InvalidInputError([Problem(BODY, f"{wrong}; {WANTED}")])

    def _checked(self, record: dict[str, Any]) -> Record:
        """Return a record that was read; raises InvalidInputError."""
        known = {name: fitting(record[name]) for name in self._names if name in record}
        strangers = len(record) - len(known)
        if not strangers:
            try:
                return self.validate(known)
            except ValidationError as error:
                raise InvalidInputError(bounded(self._faults(error, known))) from None
        problems: list[Problem] = []
        try:
            self.validate(known)
        except ValidationError as error:
            problems = self._faults(error, known)
        names = (name for name in record if name not in self._names)
        known_names = listed(self._features)
        text = f"is not a feature of this model; its features are: {known_names}. {LEAVE_OUT}"
        problems += [Problem(name, text, record[name]) for name in islice(names, MAX_PROBLEMS)]
        more = max(0, strangers - MAX_PROBLEMS)
        raise InvalidInputError(bounded(problems, more=more))

    def _faults(self, error: ValidationError, known: dict[str, Any]) -> list[Problem]:
        """Return what is wrong with values of features: all, or enough where it is very much."""
        if error.error_count() <= 2 * PART:
            return problems_of(error, self._features)
        missing = [name for name in self._features if name not in known]
        names = [*known, *(name for name in missing if not self._features[name].optional)]
        problems: list[Problem] = []
        for start in range(0, len(names), PART):
            part = set(names[start : start + PART])
            example = {name: value for name, value in self._example.items() if name not in part}
            try:
                self.validate(example | {name: known[name] for name in part & known.keys()})
            except ValidationError as refused:
                problems += problems_of(refused, self._features)
            if len(problems) > MAX_PROBLEMS:
                break
        return problems


def problems_of(error: ValidationError, features: Mapping[str, Feature]) -> list[Problem]:
    """Return the problems behind an error whose number of entries is bounded."""
    entries = error.errors(include_url=False, include_context=False)
    return [problem_of(entry, features) for entry in entries]


def fitting(value: object) -> object:
    """Return a value, infinity in place of a whole number that no float holds."""
    if type(value) is int:
        try:
            float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
    return value


def bytes_of(name: str, feature: Feature) -> int:
    """Return how long a key and its value are in usual JSON."""
    longest = max((len(to_json(each)) for each in feature.categories or ()), default=0)
    return len(to_json(name)) + max(longest, VALUE_BYTES) + 4  # colon, comma, spaces


def most_of(sign: bytes, signature: Signature) -> int:
    """Return how often a sign can stand in a record: where JSON needs it, and in its texts."""
    features, names = signature.features, signature.record_names
    needed = {b":": len(names), b"{": 1, b"[": 0}[sign]
    texts = [name.encode().count(sign) for name in names]
    if signature.key is not None and sign == b":":
        texts.append(KEY_CHARACTERS)
    for feature in features.values():
        counts = (each.encode().count(sign) for each in feature.categories or ())
        texts.append(max(counts, default=0))
    return needed + sum(texts)


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


Apart = Callable[[Matrix], Awaitable[Prediction]]


class Predictor:
    """A loaded model behind its contract."""

    def __init__(self, model: Model, *, apart: Apart | None = None) -> None:
        """Tie a model to its contract; raises ArtifactRejectedError when they do not fit.

        `apart` predicts for requests where the model runs in another process.
        """
        self.model, self.apart, self.predict_apart = model, apart is not None, apart
        self.signature = model.signature
        self.truths = Truths.of(model.signature)
        self.tag = self.truths.tag
        """How the ids of its predictions begin."""
        records = Records(model.signature)
        self.parse: Callable[[bytes], Record] = records.read
        """Reads one record of JSON; raises MalformedBodyError and InvalidInputError."""
        self.validate: Callable[[object], Record] = records.validate
        self.without_extra = records.without_extra
        self._encoded = model.encoder.row
        runtime = model.runtime
        rests = runtime.rests if isinstance(runtime, RestingRuntime) else None
        self._gathering = MicroBatcher(runtime.predict, apart=apart, rests=rests)
        self._answers = Answers(model.signature)
        try:
            self.example_answer = self.predict(self.parse(to_json(self.signature.example.record)))
        except TreelineError as error:
            raise ArtifactRejectedError(
                f"{self.signature.name}: its own example is not answered: {error}; "
                "export the model again"
            ) from error
        self._gathering.warm(self._encoded(self.signature.example.record))

    def predict(self, record: Record) -> Answer:
        """Answer one checked record; raises UnusableAnswerError."""
        return self._answers.worded(self._gathering.alone(self._encoded(record)))

    async def answer(self, body: bytes, *, prediction_id: str) -> tuple[bytes, Predicted]:
        """Answer the JSON of one record with the JSON of its signed prediction, and what it says.

        Records that are asked for at the same moment are predicted together. Raises
        MalformedBodyError, InvalidInputError and UnusableAnswerError.
        """
        predicted = await self._gathering.submit(self._encoded(self.parse(body)))
        return self._answers.written(predicted, prediction_id=prediction_id), predicted

    def row(self, body: bytes) -> Matrix:
        """Return the codes of a record that was answered, float32 of shape (1, n_features)."""
        return np.array([self._encoded(self.parse(body))], dtype=np.float32)

    def signed(self, answer: Answer, *, prediction_id: str) -> Answer:
        """Return an answer with the id of the prediction, and who gave it."""
        return self._answers.signed(answer, prediction_id=prediction_id)
