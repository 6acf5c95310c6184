"""The artifact: files + signature, the only thing that training and serving share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from numpy.typing import NDArray

from treeline.contract.encoding import Matrix


@dataclass(frozen=True, slots=True)
class Prediction:
    """Predictions for n_rows rows, in row order.

    A classifier gives `labels`, integer codes of shape (n_rows,) that index the classes of the
    signature, and, where it can, `scores`, probabilities of shape (n_rows, n_classes). A
    regression gives `values`, floats of shape (n_rows,).
    """

    labels: NDArray[Any] | None = None
    scores: NDArray[Any] | None = None
    values: NDArray[Any] | None = None


RUNTIMES = {
    "h2o": "treeline.artifact.h2o:H2ORuntime",
    "onnx": "treeline.artifact.onnx:OnnxRuntime",
    "pickle": "treeline.artifact.pickled:PickleRuntime",
}


class Runtime(Protocol):
    """An artifact in memory."""

    @classmethod
    def load(cls, files: Mapping[str, bytes]) -> Self:
        """Open the checked bytes of the artifact, by file name; raises ArtifactRejectedError."""

    def predict(self, matrix: Matrix) -> Prediction:
        """Predict for a float32 matrix of shape (n_rows, n_features)."""

    def embedded_signature(self) -> str | None:
        """Return the JSON of the signature that the artifact itself carries, if it can."""


def setting_of(runtime: str) -> str:
    """Return the setting by which the service admits a runtime that runs code as it opens."""
    return f"API_ALLOW_{runtime.upper()}"
