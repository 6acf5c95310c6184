"""Rows that a contract admits and a split may have none of: missing values, bounds, categories.

An estimator and its graph must agree on whatever a caller may send, not only on rows like those
they were tried on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeline.artifact.pickled import predict
from treeline.contract.encoding import Matrix
from treeline.contract.features import Feature
from treeline.errors import TrainingError, first_line

BASES = 8  # rows that are taken as they are but for one value
MOST_ROWS = 20_000
NOTHING = np.zeros(0, np.float32)
SEVERAL = 64  # rows in which several values are missing
MIXED = 4000  # rows in which every value is another one


@dataclass(frozen=True)
class Admitted:
    """Rows made from some of a split, and what each of them tries.

    `matrix` is float32 of shape (n_rows, n_features), `kinds` has n_rows texts.
    """

    matrix: Matrix
    kinds: Sequence[str]

    def __len__(self) -> int:
        return len(self.matrix)


def admitted(
    matrix: Matrix,
    features: Mapping[str, Feature],
    *,
    splits: Mapping[str, NDArray[np.float32]],
) -> Admitted:
    """Return rows with one value changed, some with several missing, and some with all changed.

    `matrix` is float32 of shape (n_rows, n_features), at least one row. Each feature is missing
    where it may be, at its bounds or else its extremes here, and each of its categories in turn.
    Numbers are also at the last float32 before each of their `splits`, of shape (n,), and at those
    around it.
    """
    if not len(matrix):
        return Admitted(matrix, ())
    changes = [
        (place, value, kind)
        for place, (name, feature) in enumerate(features.items())
        for value, kind in _values(name, feature, matrix[:, place], splits.get(name, NOTHING))
    ]
    bases = max(1, min(BASES, MOST_ROWS // max(1, len(changes))))
    changes = changes[: MOST_ROWS // bases]
    rows = matrix[np.arange(len(changes) * bases) % len(matrix)].copy()
    for number, (place, value, _) in enumerate(changes):
        rows[number * bases : (number + 1) * bases, place] = value
    kinds = [kind for _, _, kind in changes for _ in range(bases)]
    several, mixed = _several_missing(matrix, features), _mixed(matrix, features)
    kinds += ["several missing values"] * len(several) + ["values of several rows"] * len(mixed)
    return Admitted(np.concatenate([rows, several, mixed]), kinds)


def check_missing(
    estimator: Any, matrix: Matrix, features: Mapping[str, Feature], *, place: str
) -> None:
    """Raise TrainingError where an estimator has no answer to a missing value that may be sent.

    Where no row to learn from lacks it, fitting says nothing of that. `matrix` is float32 of shape
    (n_rows, n_features).
    """
    for name, feature in features.items():
        if not _may_be_missing(feature):
            continue
        rows = matrix[:1].copy()
        rows[:, list(features).index(name)] = np.nan
        if reason := _refusal(estimator, rows):
            raise TrainingError(
                f"{place}: `features.{name}` is nullable, and this estimator has no answer where "
                f"it is missing ({reason}); declare a `fill`, take `nullable` away, add an imputer "
                "to `preprocessors`, or choose an estimator that takes missing values"
            )


def _refusal(estimator: Any, rows: Matrix) -> str:
    try:
        prediction = predict(estimator, rows)
    except Exception as error:  # whatever its library raises
        return first_line(error).split(". ")[0]
    for numbers in (prediction.values, prediction.scores):
        if numbers is not None and not np.isfinite(np.asarray(numbers, dtype=float)).all():
            return "it answers with what is no number"
    return ""


def _may_be_missing(feature: Feature) -> bool:
    return feature.nullable and feature.fill is None


def _values(
    name: str, feature: Feature, column: NDArray[np.float32], splits: NDArray[np.float32]
) -> Iterator[tuple[float, str]]:
    """Yield what a feature may be, as a code, and how a person calls it."""
    if _may_be_missing(feature):
        yield np.nan, f"{name} missing"
    if feature.categories:
        yield from ((code, f"{name} {text!r}") for code, text in enumerate(feature.categories))
    elif feature.kind.holds == "boolean":
        yield from ((code, f"{name} {text}") for code, text in enumerate(("false", "true")))
    else:
        yield from _numbers(name, feature, column, splits)


def _numbers(
    name: str, feature: Feature, column: NDArray[np.float32], splits: NDArray[np.float32]
) -> Iterator[tuple[float, str]]:
    low, high = _limits(feature, column)
    ends = {np.float32(low), np.float32(high)}
    yield from ((float(end), f"{name} {end:g}") for end in sorted(ends) if low <= end <= high)
    for before in splits:
        after = np.nextafter(before, np.float32(np.inf))
        near = (np.nextafter(before, np.float32(-np.inf)), before, after)
        for value in (*near, np.nextafter(after, np.float32(np.inf))):
            if low <= value <= high:
                yield float(value), f"{name} {value!r}, at a split"


def _limits(feature: Feature, column: NDArray[np.float32]) -> tuple[float, float]:
    """Return the least and the largest number: what is declared, or else what is there."""
    known = column[np.isfinite(column)]
    least, most = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    return (
        least if feature.minimum is None else feature.minimum,
        most if feature.maximum is None else feature.maximum,
    )


def _mixed(matrix: Matrix, features: Mapping[str, Feature]) -> Matrix:
    """Return rows whose values come from rows of their own, and numbers between those, by chance.

    Half of the numbers stand in the split, the others anywhere between the least and the largest.
    """
    chance = np.random.default_rng(0)
    rows = np.empty((MIXED, matrix.shape[1]), np.float32)
    for place, feature in enumerate(features.values()):
        column = matrix[:, place]
        rows[:, place] = column[chance.integers(0, len(column), MIXED)]
        known = column[np.isfinite(column)]
        if feature.kind.holds == "number" and len(known):
            drawn = chance.uniform(known.min(), known.max(), MIXED).astype(np.float32)
            drawn = np.clip(drawn, known.min(), known.max())
            between = np.arange(MIXED) % 2 == 0
            rows[between, place] = (
                np.trunc(drawn[between]) if feature.kind.whole else drawn[between]
            )
    return rows


def _several_missing(matrix: Matrix, features: Mapping[str, Feature]) -> Matrix:
    """Return rows in which each value that may be missing is so by chance, the same each time."""
    places = [at for at, feature in enumerate(features.values()) if _may_be_missing(feature)]
    if len(places) < 2:
        return matrix[:0]
    rows = matrix[np.arange(SEVERAL) % len(matrix)].copy()
    missing = np.zeros(rows.shape, dtype=bool)
    missing[:, places] = np.random.default_rng(0).random((SEVERAL, len(places))) < 0.5
    missing[0, places] = True
    rows[missing] = np.nan
    return rows
