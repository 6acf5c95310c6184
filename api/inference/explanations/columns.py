"""What stands before the model proper in a graph → of which feature each of its columns is. Pure.

Where each column is made of one feature alone, a row in which some features are replaced has the
columns of these replaced, and the others as they were. Scalers, imputers, one-hot codes and
selections are of that kind; products of columns and principal components are not.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from api.inference.explanations.reading import Array, Graph, Node, UnreadableError

INPUT = "features"
NONE = -1  # the owner of a column that is the same in every row
Owners = NDArray[np.int64]
Given = Mapping[str, Owners]


def owners_of(graph: Graph, *, width: int) -> dict[str, Owners]:
    """Return, for each tensor that has such columns, the feature that each of them is of.

    `width` is the number of features. What has other columns is left out.
    """
    known: dict[str, Owners] = {INPUT: np.arange(width)}
    for node in graph.nodes:
        rule = RULES.get(node.op)
        if rule is None or not any(name in known for name in node.inputs):
            continue
        try:
            known[node.outputs[0]] = rule(node, known, graph.constants)
        except (UnreadableError, IndexError, KeyError, ValueError):
            continue
    return known


def by_element(node: Node, known: Given, constants: Mapping[str, Array]) -> Owners:
    """Return the owners where each column is made of the columns in the same place."""
    parts = [owned(name, known, constants) for name in node.inputs if name]
    owners: Owners = np.full(max(map(len, parts)), NONE)
    for part in (np.broadcast_to(each, owners.shape) for each in parts):
        if ((owners != part) & (owners != NONE) & (part != NONE)).any():
            raise UnreadableError(f"{node.op} mixes features")
        owners = np.where(owners == NONE, part, owners)
    return owners


def owned(name: str, known: Given, constants: Mapping[str, Array]) -> Owners:
    """Return the owners of one input; a constant has none, and is the same in every row."""
    if name in known:
        return known[name]
    constant = constants[name]
    if constant.ndim > 1 and constant.size != constant.shape[-1]:
        raise UnreadableError(f"{name} differs from row to row")
    return np.full(max(constant.size, 1), NONE)


def first_alone(node: Node, known: Given, _: Mapping[str, Array]) -> Owners:
    """Return the owners of what works on each column by itself, by attributes or constants."""
    return known[node.inputs[0]]


def picked(node: Node, known: Given, constants: Mapping[str, Array]) -> Owners:
    """Return the owners of a selection of columns."""
    if node.op == "Gather" and node.attributes.get("axis", 0) != 1:
        raise UnreadableError("Gather of rows")
    return known[node.inputs[0]][constants[node.inputs[1]].ravel()]


def side_by_side(node: Node, known: Given, _: Mapping[str, Array]) -> Owners:
    """Return the owners of columns that are joined."""
    if node.attributes.get("axis") not in (1, -1):
        raise UnreadableError("Concat of rows")
    return np.concatenate([known[name] for name in node.inputs])


def one_hot(node: Node, known: Given, _: Mapping[str, Array]) -> Owners:
    """Return the owners of one-hot codes, which have an axis of their own until a Reshape."""
    (owner,) = known[node.inputs[0]]
    codes = node.attributes.get("cats_int64s", node.attributes.get("cats_strings", ()))
    return np.full(len(codes), owner)


def reshaped(node: Node, known: Given, constants: Mapping[str, Array]) -> Owners:
    """Return the owners of what keeps a row for each row."""
    owners = known[node.inputs[0]]
    shape = constants[node.inputs[1]].tolist()
    if shape not in ([-1, len(owners)], [0, len(owners)], [0, -1]):
        raise UnreadableError(f"Reshape to {shape}")
    return owners


Rule = Callable[[Node, Given, Mapping[str, Array]], Owners]


def _table(groups: Sequence[tuple[Rule, str]]) -> dict[str, Rule]:
    return {op: rule for rule, ops in groups for op in ops.split()}


RULES = _table([
    (first_alone, "Identity Cast Scaler Imputer Binarizer IsNaN Abs Neg Not Sqrt Exp Log Sign"),
    (first_alone, "Floor Ceil Round Reciprocal Relu Sigmoid Tanh"),
    (by_element, "Add Sub Mul Div Pow Where Less LessOrEqual Greater GreaterOrEqual Equal"),
    (by_element, "And Or Min Max Clip"),
    (picked, "ArrayFeatureExtractor Gather"),
    (side_by_side, "Concat"),
    (one_hot, "OneHotEncoder"),
    (reshaped, "Reshape"),
])  # fmt: skip
