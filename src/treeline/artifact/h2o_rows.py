"""Matrices of codes → the CSV that H2O is given, and what it answers → arrays.

A column is named by its position, whatever the feature is called. A category is a factor whose
levels are `c0000`, `c0001`, … in the declared order; a missing value is an empty field.
"""

import io
from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeline.artifact.prediction import Prediction
from treeline.contract.encoding import Matrix
from treeline.contract.features import Feature

ROW = "row"  # a column that is never empty: H2O skips lines that are


def level(code: int) -> str:
    """Return the factor level of a category or of a class."""
    return f"c{code:04d}"


def kinds(features: Mapping[str, Feature]) -> list[str]:
    """Return the kind of each column as H2O calls it: `enum` for a category, else `real`."""
    return ["enum" if feature.categories else "real" for feature in features.values()]


def columns(columns_kinds: Sequence[str]) -> dict[str, str]:
    """Return the kinds of all columns of a frame by name."""
    named = {f"x{place}": kind for place, kind in enumerate(columns_kinds)}
    return {ROW: "real", **named}


def csv(matrix: Matrix, columns_kinds: Sequence[str], *more: Sequence[str]) -> bytes:
    """Return float32 codes of shape (n_rows, n_features), and more columns, as CSV."""
    texts = [
        _texts(values, factor=kind == "enum")
        for values, kind in zip(matrix.T, columns_kinds, strict=True)
    ]
    rows = zip(["0"] * len(matrix), *texts, *more, strict=True)
    return "".join(",".join(row) + "\n" for row in rows).encode()


def _texts(values: NDArray[np.float32], *, factor: bool) -> list[str]:
    """Return the shortest text that is read as the same float32, of each value."""
    if factor:
        return ["" if isnan(code) else level(int(code)) for code in values.tolist()]
    texts = values.astype("U16")
    texts[np.isnan(values)] = ""
    found: list[str] = texts.tolist()
    return found


def prediction(answer: bytes, *, classes: int) -> Prediction:
    """Return what H2O predicts; `classes` is how many there are, 0 for a regression.

    A label is the class of the highest probability, as with every other estimator here, and not
    that of H2O, whose threshold maximises F1 on the training rows. A class that was missing
    there has probability 0.
    """
    header, _, body = answer.partition(b"\n")
    names = [name.strip('"') for name in header.decode().split(",")]
    if not classes:
        return Prediction(values=_numbers(body, [names.index("predict")])[:, 0])
    found = [name for name in names if name != "predict"]
    shares = _numbers(body, [names.index(name) for name in found])
    scores = np.zeros((len(shares), classes))
    scores[:, [int(name[1:]) for name in found]] = shares
    return Prediction(labels=np.argmax(scores, axis=1), scores=scores)


def _numbers(body: bytes, places: Sequence[int]) -> NDArray[Any]:
    """Return columns of CSV as float64 of shape (n_rows, n_places)."""
    return np.loadtxt(io.BytesIO(body), delimiter=",", usecols=places, ndmin=2, quotechar='"')
