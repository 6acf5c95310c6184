"""One model in memory: JSON bytes → checked record → answer. Knows its contract, and no HTTP."""

from collections.abc import Awaitable, Callable

from pydantic_core import to_json

from api.contract.records import Records
from api.contract.truths import Truths
from api.prediction.answers import Answer, Answers
from api.prediction.micro_batching import MicroBatcher, Predicted
from treeline.artifact.prediction import Prediction
from treeline.artifact.store import Model
from treeline.contract.encoding import Matrix, Record
from treeline.errors import ArtifactRejectedError, TreelineError

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
        self._gathering = MicroBatcher(model.runtime.predict, apart=apart)
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
        predicted = await self._gathering.asked(self._encoded(self.parse(body)))
        return self._answers.written(predicted, prediction_id=prediction_id), predicted

    def signed(self, answer: Answer, *, prediction_id: str) -> Answer:
        """Return an answer with the id of the prediction, and who gave it."""
        return self._answers.signed(answer, prediction_id=prediction_id)
