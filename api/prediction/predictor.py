"""One model in memory: JSON bytes → checked record → answer. Knows its contract, and no HTTP."""

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import to_json

from api.contract.schemas import record_validator
from api.contract.validation import explain
from api.prediction.answers import Answer, Answers
from api.prediction.gathering import Gathering, Predicted
from treeline.artifact.encoding import Record
from treeline.artifact.store import Model
from treeline.errors import ArtifactRejectedError, TreelineError


class Predictor:
    """A loaded model behind its contract."""

    def __init__(self, model: Model, *, root: Path | None = None) -> None:
        """Tie a model to its contract; raises ArtifactRejectedError when they do not fit.

        `root` is the folder of its store where that is another than the one of exported models.
        """
        self.model, self.root = model, root
        self.signature = model.signature
        validator = record_validator(model.signature).validator
        self._validate = validator.validate_json
        self.validate: Callable[[object], Record] = validator.validate_python
        self._encoded = model.encoder.row
        self._gathering = Gathering(model.runtime.predict)
        self._answers = Answers(model.signature)
        try:
            self.example_answer = self.predict(self.parse(to_json(self.signature.example.record)))
        except TreelineError as error:
            raise ArtifactRejectedError(
                f"{self.signature.name}: its own example is not answered: {error}; "
                "export the model again"
            ) from error
        self._gathering.warm(self._encoded(self.signature.example.record))

    def parse(self, body: bytes) -> Record:
        """Read one record of JSON; raises MalformedBodyError and InvalidInputError."""
        try:
            record: Record = self._validate(body)
        except ValidationError as error:
            raise explain(error, self.signature.features) from error
        return record

    def predict(self, record: Record) -> Answer:
        """Answer one checked record; raises UnusableAnswerError."""
        return self._answers.worded(self._gathering.alone(self._encoded(record)))

    async def answer(self, body: bytes, *, prediction_id: str) -> tuple[bytes, Predicted]:
        """Answer the JSON of one record with the JSON of its signed prediction, and what it says.

        Records that are asked for at the same moment are predicted together. Raises
        MalformedBodyError, InvalidInputError and UnusableAnswerError.
        """
        predicted = await self._gathering.asked(self._encoded(self.parse(body)))
        return self._answers.written(predicted, prediction_id=prediction_id), predicted

    def signed(self, answer: Answer, *, prediction_id: str) -> Answer:
        """Return an answer with the id of the prediction, and who gave it."""
        return self._answers.signed(answer, prediction_id=prediction_id)
