"""The id of a prediction, or a version → everything that is behind it, from log and git."""

import re
from dataclasses import asdict, dataclass
from typing import Any

from treeline.errors import ProvenanceError
from treeline.monitoring.logs import ID_PATTERN, log_of
from treeline.monitoring.rows import LoggedPrediction
from treeline.provenance.origins import Origin, in_service_at, model_with, origin_of
from treeline.provenance.text import explained, iso


@dataclass(frozen=True)
class Why:
    """What is behind a prediction; `prediction` is None where a version was named."""

    origin: Origin
    prediction: LoggedPrediction | None

    @property
    def text(self) -> str:
        """Everything in Markdown."""
        return explained(self.origin, self.prediction)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data.

        `deployed_before` is the last deployment with this version before the answer; there may be
        others, on other targets.
        """
        document = asdict(self.origin)
        signature = self.origin.signature
        document["signature"] = signature and signature.model_dump(mode="json")
        answering = None
        if self.prediction is not None:
            answering = in_service_at(self.origin, iso(self.prediction.time))
        return {
            "prediction": self.prediction and asdict(self.prediction),
            "deployed_before": answering and asdict(answering),
            **document,
        }


def why(named: str, *, log: str, secret: str, signers: str = "", model: str = "") -> Why:
    """Return what is behind a prediction, looked up in a log, or without one behind a version.

    `signers` is the file of trusted signers, by which the signatures of releases are verified,
    `model` says which model is meant where several have the version.
    Raises ProvenanceError for what neither knows, and SourceError where the log cannot be read.
    """
    if not log:
        return Why(origin_of(model or model_with(named), named, signers=signers), None)
    if not re.fullmatch(ID_PATTERN, named):
        raise ProvenanceError(f"{named!r} is no id of a prediction: an answer has it as `id`")
    prediction = log_of(log, secret).prediction(named)
    if prediction is None:
        raise ProvenanceError(
            f"{named}: the log has no such prediction; it may wait for the database, be older than "
            "the log goes back, or be another service's. Without --log the version of an answer "
            "says as much of the model"
        )
    origin = origin_of(prediction.model, prediction.version, signers=signers)
    return Why(origin, prediction)
