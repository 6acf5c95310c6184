"""What is drawn: the champion's prediction for the test split, beside the truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from treeline.artifact.prediction import Prediction
from treeline.contract.features import Target, labels
from treeline.contract.texts import text_of


@dataclass(frozen=True, slots=True)
class Judged:
    """A model's prediction for n_rows test rows, in row order.

    `truth` is integer codes of shape (n_rows,) that index `classes`, or without classes float
    values in the unit of the target. `importances` are the entries `{feature, loss, deviation}`,
    largest loss first, in the unit of `metric`. `training` is the record of the train stage, where
    there is one.
    """

    target: Target
    classes: Sequence[Any]
    truth: NDArray[Any]
    prediction: Prediction
    importances: Sequence[Mapping[str, Any]]
    metric: str
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> str:
        """The number of rows, in words."""
        return f"{len(self.truth):,} test row{'' if len(self.truth) == 1 else 's'}"

    @property
    def names(self) -> list[str]:
        """The classes as shown."""
        return [text_of(value) for value in labels(self.classes)]

    @property
    def full_names(self) -> list[str]:
        """The classes as shown where nothing else tells that 1 is a class of which target."""
        if self.target.task == "binary":
            return [f"{self.target.name} = {name}" for name in self.names]
        return self.names

    def axis(self, quantity: str) -> str:
        """Return the title of an axis that shows a quantity in the unit of the target."""
        return f"{quantity} ({self.target.unit})" if self.target.unit else quantity
