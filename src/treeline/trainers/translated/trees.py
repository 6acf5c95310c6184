"""Decision trees, random forests and gradient-boosted trees of Spark's → arrays of nodes.

All trees come over as one JSON text of their nodes: to ask the JVM for one node after another takes
a minute for a hundred trees, and Spark's own format needs a file system that the workers share.
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeline.engines.spark import as_json
from treeline.trainers.translated.forest import (
    AveragingForest,
    MarginForest,
    Trees,
    VotingForest,
)

Node = dict[str, Any]  # with the names of the fields of Spark's own nodes
Value = Callable[[Node], list[float]]


def voting(model: Any, width: int) -> VotingForest:
    """Return the forest in which each tree of a model votes with the shares of its leaf."""
    members = _members(model)
    return VotingForest(_trees(members, _shares, np.ones(len(members))))


def averaged(model: Any, width: int) -> AveragingForest:
    """Return the forest whose value is the mean of the trees of a model."""
    members = _members(model)
    return AveragingForest(_trees(members, _value, np.full(len(members), 1 / len(members))))


def boosted_classes(model: Any, width: int) -> MarginForest:
    """Return the forest whose weighted sum is the margin between two classes."""
    return MarginForest(_trees(_members(model), _value, np.array(model.treeWeights)))


def boosted_values(model: Any, width: int) -> AveragingForest:
    """Return the forest whose weighted sum is the value."""
    return AveragingForest(_trees(_members(model), _value, np.array(model.treeWeights)))


def _members(model: Any) -> list[Any]:
    """Return the trees of an ensemble, or the one tree that a model is."""
    return list(model.trees) if hasattr(model, "trees") else [model]


def _shares(leaf: Node) -> list[float]:
    counts = np.array(leaf["impurityStats"]["stats"])
    return [float(share) for share in counts / counts.sum()]


def _value(leaf: Node) -> list[float]:
    return [float(leaf["prediction"])]


def _trees(members: list[Any], value: Value, weights: NDArray[np.float64]) -> Trees:
    splits: list[tuple[int, float, int, int]] = []
    leaves: dict[int, list[float]] = {}
    grown = json.loads(as_json([member._java_obj.rootNode() for member in members]))
    roots = [_grow(root, splits, leaves, value) for root in grown]
    feature, threshold, left, right = zip(*splits, strict=True)
    values = np.zeros((len(splits), len(next(iter(leaves.values())))))
    values[list(leaves)] = list(leaves.values())
    return Trees(
        roots=np.array(roots, np.int32),
        feature=np.array(feature, np.int32),
        threshold=np.array(threshold, np.float64),
        left=np.array(left, np.int32),
        right=np.array(right, np.int32),
        value=values,
        weights=weights,
    )


def _grow(
    node: Node,
    splits: list[tuple[int, float, int, int]],
    leaves: dict[int, list[float]],
    value: Value,
) -> int:
    """Append a node and all below it; return its place. Spark's trees are at most 30 deep."""
    here = len(splits)
    splits.append((0, 0.0, here, here))
    if "split" not in node:
        leaves[here] = value(node)
        return here
    left = _grow(node["leftChild"], splits, leaves, value)
    right = _grow(node["rightChild"], splits, leaves, value)
    splits[here] = (node["split"]["featureIndex"], node["split"]["threshold"], left, right)
    return here
