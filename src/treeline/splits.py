"""Where trees split behind preprocessors: the float32 values of a feature on both sides of a split.

A graph that rounds otherwise than its estimator on the way to a tree answers the same almost
everywhere. It differs where a value stands next to a split, and that is where it is looked at.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from treeline.contract.encoding import Matrix
from treeline.contract.features import Feature

MOST_SPLITS = 1200  # that are looked for; with more, as many of each column as there is room for

Keys = NDArray[np.int64]


@dataclass(frozen=True)
class Splits:
    """The splits of one tree ensemble: its columns, int64 of shape (n,), and doubles of (n,)."""

    columns: NDArray[np.int64]
    thresholds: NDArray[np.float64]


def splits_of(graph: onnx.ModelProto) -> Splits:
    """Return the different splits of the trees of a graph.

    A column is that of the matrix which the trees are given.
    """
    columns, thresholds = [np.zeros(0, np.int64)], [np.zeros(0)]
    for node in graph.graph.node:
        if not node.op_type.startswith("TreeEnsemble"):
            continue
        given = {attribute.name: attribute for attribute in node.attribute}
        values = np.array(given["nodes_values"].floats if "nodes_values" in given else ())
        if "nodes_values_as_tensor" in given:
            values = onnx.numpy_helper.to_array(given["nodes_values_as_tensor"].t)
        branch = np.array([mode != b"LEAF" for mode in given["nodes_modes"].strings])
        columns.append(np.array(given["nodes_featureids"].ints, np.int64)[branch])
        thresholds.append(values.astype(np.float64)[branch])
    pairs = np.unique(
        np.column_stack([np.concatenate(columns).astype(np.float64), np.concatenate(thresholds)]),
        axis=0,
    )
    return Splits(pairs[:, 0].astype(np.int64), pairs[:, 1])


def crossings(
    pipeline: Pipeline, graph: onnx.ModelProto, matrix: Matrix, features: Mapping[str, Feature]
) -> dict[str, NDArray[np.float32]]:
    """Return, by feature, the last float32 before each split of its own that a row can cross.

    `matrix` is float32 of shape (n_rows, n_features), at least one row, of which the first stands
    for the other features. Whole numbers do not come close to a split, and are left out.
    """
    splits = splits_of(graph)
    places = [at for at, each in enumerate(features.values()) if _is_continuous(each)]
    if not (places and len(splits.columns)):
        return {}
    ends = [_ends(matrix[:, at], list(features.values())[at]) for at in places]
    low, high = np.array(ends, np.float32).T
    behind = _Behind(pipeline, matrix[:1])
    first, last = behind.rows(places, low), behind.rows(places, high)
    pairs = [
        (number, split)
        for number in range(len(places))
        for split in _between(first[number], last[number], splits)
    ]
    if not pairs:
        return {}
    some = np.linspace(0, len(pairs) - 1, min(MOST_SPLITS, len(pairs))).astype(int)
    which, split = np.array(pairs)[some].T
    columns, limit = splits.columns[split], splits.thresholds[split]
    rising = last[which, columns] > first[which, columns]
    below, above = _keys(low[which]), _keys(high[which])
    while (above - below > 1).any():
        middle = (below + above) // 2
        rows = behind.rows(np.array(places)[which], _floats(middle))
        values = rows[np.arange(len(rows)), columns]
        before = np.where(rising, values <= limit, values > limit)
        below, above = np.where(before, middle, below), np.where(before, above, middle)
    names = list(features)
    return {
        names[places[number]]: np.unique(_floats(below[which == number]))
        for number in np.unique(which).tolist()
    }


class _Behind:
    """What the steps before an estimator make of a row in which one feature changes."""

    def __init__(self, pipeline: Pipeline, row: Matrix) -> None:
        self._steps, self._row = pipeline[:-1], row

    def rows(self, places: Any, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the rows, shape (n_values, n_columns); `places` says which feature is changed."""
        matrix = np.repeat(self._row, len(values), axis=0)
        matrix[np.arange(len(values)), places] = values
        return np.asarray(self._steps.transform(matrix), dtype=np.float64)


def _is_continuous(feature: Feature) -> bool:
    return feature.kind.holds == "number" and not feature.kind.whole


def _ends(column: NDArray[np.float32], feature: Feature) -> tuple[np.float32, np.float32]:
    """Return the least and largest value: what is declared, or else what is there."""
    known = column[np.isfinite(column)]
    least, most = (known.min(), known.max()) if len(known) else (np.float32(0), np.float32(0))
    low = least if feature.minimum is None else np.float32(feature.minimum)
    high = most if feature.maximum is None else np.float32(feature.maximum)
    return low, high


def _between(
    first: NDArray[np.float64], last: NDArray[np.float64], splits: Splits
) -> NDArray[np.int64]:
    """Return the splits that lie between two rows in their own column."""
    inside = splits.columns < len(first)
    columns = np.where(inside, splits.columns, 0)
    low = np.minimum(first, last)[columns]
    high = np.maximum(first, last)[columns]
    return np.flatnonzero(inside & (splits.thresholds >= low) & (splits.thresholds < high))


def _keys(values: NDArray[np.float32]) -> Keys:
    """Return whole numbers in the order of float32 values, neighbours being one apart."""
    bits = values.view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def _floats(keys: Keys) -> NDArray[np.float32]:
    bits = np.where(keys < 0, -keys | 0x80000000, keys).astype(np.uint32)
    return bits.view(np.float32)
