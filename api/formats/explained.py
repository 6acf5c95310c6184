"""What is said of some rows beside their answers: what each feature added, in JSON and columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from api.contract.schemas import EXACT, SAMPLED
from api.errors import UnusableAnswerError
from treeline.contract.signature import Signature

Floats = NDArray[np.float64]
TEXTS = ("explanation_scale", "explanation_method")
OF_CLASS = "explanation_class"


@dataclass(frozen=True)
class Explained:
    """How n_rows answers came about.

    `contributions` are of shape (n_rows, n_features); with `bases` of shape (n_rows,) they add up
    to the explained number on its `scale`. `classes` of shape (n_rows,) are the codes of the
    explained classes; -1 for a regression. Sampled ones have the standard error of each of both.
    """

    scale: str
    classes: NDArray[np.int64]
    bases: Floats
    contributions: Floats
    base_errors: Floats | None = None
    errors: Floats | None = None

    def __len__(self) -> int:
        return len(self.bases)

    @property
    def method(self) -> str:
        """How they were come by."""
        return EXACT if self.errors is None else SAMPLED

    @property
    def values(self) -> Floats:
        """The explained numbers, shape (n_rows,)."""
        return np.asarray(self.bases + self.contributions.sum(axis=1))

    def of(self, rows: Any) -> Self:
        """Return what is said of some of the rows."""
        picked: dict[str, Any] = {
            name: None if array is None else array[rows]
            for name, array in vars(self).items()
            if name != "scale"
        }
        return type(self)(scale=self.scale, **picked)

    def usable(self) -> NDArray[np.bool_]:
        """Tell which rows are explained by numbers, shape (n_rows,)."""
        return np.asarray(np.isfinite(self.contributions).all(axis=1) & np.isfinite(self.bases))

    def checked(self, signature: Signature) -> Self:
        """Return it; raises UnusableAnswerError where it holds what is no number."""
        if not self.usable().all():
            raise UnusableAnswerError(
                f"{signature.name}: the model has an answer to this record, and none to records "
                "between it and the reference of the signature, so it cannot be explained"
            )
        return self

    def documents(self, signature: Signature) -> list[dict[str, Any]]:
        """Return what is answered of each row."""
        names, values = list(signature.features), self.values.tolist()
        documents = []
        for at, value in enumerate(values):
            document: dict[str, Any] = {}
            if (code := int(self.classes[at])) >= 0:
                document["class"] = signature.classes[code]
            document |= {
                "scale": self.scale,
                "method": self.method,
                "base": float(self.bases[at]),
                "value": value,
                "contributions": dict(zip(names, self.contributions[at].tolist(), strict=True)),
            }
            if self.errors is not None and self.base_errors is not None:
                document["base_standard_error"] = float(self.base_errors[at])
                errors = self.errors[at].tolist()
                document["standard_errors"] = dict(zip(names, errors, strict=True))
            documents.append(document)
        return documents


def joined(parts: Sequence[Explained]) -> Explained:
    """Return what is said of several parts of rows, one after the other."""

    def all_of(name: str) -> Any:
        arrays = [getattr(each, name) for each in parts]
        return None if arrays[0] is None else np.concatenate(arrays)

    names = ("classes", "bases", "contributions", "base_errors", "errors")
    return Explained(scale=parts[0].scale, **{name: all_of(name) for name in names})


def of_no_rows(signature: Signature) -> Explained:
    """Return what is said of no rows."""
    nothing = np.zeros(0)
    return Explained("", np.zeros(0, np.int64), nothing, np.zeros((0, len(signature.features))))


def columns(signature: Signature) -> list[str]:
    """Return the names of the columns of a table that say it."""
    names = signature.features
    return [
        *([OF_CLASS] if signature.classes else []),
        *TEXTS,
        *("explanation_base", "explanation_value"),
        *(f"contribution_{name}" for name in names),
        "explanation_base_standard_error",
        *(f"standard_error_{name}" for name in names),
    ]


def numbers(explained: Explained) -> list[Floats | None]:
    """Return the numbers of those columns that hold numbers, in their order; None: no numbers."""
    count = explained.contributions.shape[1]
    errors = [None] * count if explained.errors is None else list(explained.errors.T)
    return [
        *(explained.bases, explained.values),
        *explained.contributions.T,
        explained.base_errors,
        *errors,
    ]
