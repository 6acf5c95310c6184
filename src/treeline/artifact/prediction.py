"""What a model says of rows: class codes and probabilities, or values."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


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
