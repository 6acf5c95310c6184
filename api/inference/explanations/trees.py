"""Trees → exact Shapley values where features are independent, leaf by leaf. Pure.

A leaf is reached where each feature on its way passes all conditions on it. Be o₁ … o_k whether the
row's own values pass, and p₁ … p_k the shares of the background that do. The leaf's part of the
answer with the features S known is v · ∏_{j∈S} o_j · ∏_{j∉S} p_j, and its contribution of
feature i is

    v · (o_i - p_i) · ∫₀¹ ∏_{j≠i} (t·o_j + (1-t)·p_j) dt

as ∫ tˢ(1-t)^(k-1-s) dt = s!(k-1-s)!/k!, the weight that Shapley gives a set of s others. The
integral of a polynomial is exact by a Gauss-Legendre rule of ⌈k/2⌉ points. Features that are not
on the way to a leaf have no part in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from api.inference.explanations.reading import Node, UnreadableError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MOST_CONDITIONS = 1_000_000  # of all ways to all leaves: two seconds and 150 MB to read them
MOST_VOTES = 1 << 24  # of all nodes by outputs: 128 MB
MOST_DEPTH = 500
CHUNK = 1 << 13
BELOW = ("BRANCH_LEQ", "BRANCH_LT")
STRICT = ("BRANCH_LT", "BRANCH_GTE")  # the threshold itself is on the upper side
BRANCHES = {*BELOW, "BRANCH_GT", "BRANCH_GTE"}
LEAF = "LEAF"
ANY_TYPE = "TreeEnsemble"
BY_NUMBER = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT")
AVERAGE, SUM = 0, 1


@dataclass(frozen=True)
class Leaves:
    """The leaves of all trees, flat.

    Conditions of shape (n_conditions,) lie slot by slot, slots of shape (n_slots,) leaf by leaf: a
    slot is all that a leaf asks of one feature. `values` is of shape (n_leaves, n_outputs), and
    `constant` of shape (n_outputs,) is what comes of no leaf.
    """

    columns: Ints
    above: Floats
    up_to: Floats
    missing: NDArray[np.bool_]
    slot_starts: Ints
    slot_owners: Ints
    leaf_starts: Ints
    values: Floats
    constant: Floats

    @classmethod
    def of(cls, node: Node, owners: Ints) -> Self:
        """Read a node of trees whose columns have these owners; raises UnreadableError."""
        trees = Trees.of(node)
        leaves = np.flatnonzero(trees.is_leaf & (trees.parents >= 0))
        ways = trees.ways(leaves)
        if (owners[ways.columns] < 0).any():
            raise UnreadableError("a tree asks for what is the same in every row")
        ranks = np.argsort(np.argsort(owners, kind="stable"), kind="stable")
        keys = ways.leaves * len(owners) + ranks[ways.columns]
        order = np.argsort(keys, kind="stable")
        starts = begins(keys[order])
        columns, of_leaf = ways.columns[order][starts], ways.leaves[order][starts]
        slots = begins(of_leaf * len(owners) + owners[columns])
        single = np.flatnonzero(trees.is_leaf & (trees.parents < 0))
        return cls(
            columns=columns,
            above=np.maximum.reduceat(ways.above[order], starts),
            up_to=np.minimum.reduceat(ways.up_to[order], starts),
            missing=np.logical_and.reduceat(ways.missing[order], starts),
            slot_starts=slots,
            slot_owners=owners[columns][slots],
            leaf_starts=begins(of_leaf[slots]),
            values=trees.votes[leaves],
            constant=trees.constant + trees.votes[single].sum(axis=0),
        )

    def passed(self, columns: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell which slots one row passes; `columns` has shape (n_columns,), gives (n_slots,)."""
        if not len(self.slot_starts):
            return np.zeros(0, np.bool_)
        values = columns[self.columns]
        passed = (values > self.above) & (values <= self.up_to)
        passed |= self.missing & np.isnan(values)
        return np.asarray(np.logical_and.reduceat(passed, self.slot_starts), np.bool_)

    def shares(self, points: NDArray[Any], weights: Floats) -> Floats:
        """Return which share of a background passes each slot, shape (n_slots,).

        `points` are the columns of its points, of shape (n_points, n_columns), `weights` the shares
        of these points of shape (n_points, n_features).
        """
        shares = np.zeros(len(self.slot_owners))
        counts = np.diff(np.append(self.slot_starts, len(self.columns)))
        for owner in np.unique(self.slot_owners):
            taken = np.flatnonzero(weights[:, owner] > 0)
            own, share = points[taken], weights[taken, owner]
            slots = np.flatnonzero(self.slot_owners == owner)
            for count in np.unique(counts[slots]):
                alike = slots[counts[slots] == count]
                for part in np.array_split(alike, 1 + len(alike) // CHUNK):
                    shares[part] = share @ self._all_passed(own, self.slot_starts[part], count)
        return shares

    def _all_passed(self, points: NDArray[Any], starts: Ints, count: int) -> NDArray[np.bool_]:
        """Tell which points pass so many conditions from each start on."""
        passed = self._passed(points, starts)
        for place in range(1, count):
            passed &= self._passed(points, starts + place)
        return passed

    def _passed(self, points: NDArray[Any], conditions: Ints) -> NDArray[np.bool_]:
        """Tell which points pass which conditions, shape (n_points, n_conditions)."""
        values = points[:, self.columns[conditions]]
        passed = (values > self.above[conditions]) & (values <= self.up_to[conditions])
        passed |= self.missing[conditions] & np.isnan(values)
        return np.asarray(passed)


class TreeHead:
    """Trees over columns of features, against a background."""

    def __init__(self, leaves: Leaves, points: NDArray[Any], weights: Floats) -> None:
        """Tie leaves to a background, as `Leaves.shares` takes it."""
        self._leaves = leaves
        self._features = weights.shape[1]
        self._shares = leaves.shares(points, weights)
        counts = np.diff(np.append(leaves.leaf_starts, len(leaves.slot_owners)))
        self._groups = []
        for count in np.unique(counts):
            which = np.flatnonzero(counts == count)
            slots = leaves.leaf_starts[which][:, None] + np.arange(count)
            self._groups.append((which, slots))
        self.expected = self._sum(self._shares)

    def raw(self, columns: NDArray[Any]) -> Floats:
        """Return the outputs of shape (n_rows, n_outputs) for columns of shape (n_rows, …)."""
        return np.stack([self._sum(self._leaves.passed(row)) for row in columns])

    def contributions(self, columns: NDArray[Any], mix: Floats) -> Floats:
        """Return what each feature adds to a mixture of the outputs, shape (n_features,).

        `columns` is one row, `mix` of shape (n_outputs,).
        """
        added = np.zeros(self._features)
        passed = self._leaves.passed(columns).astype(np.float64)
        values = self._leaves.values @ mix
        for which, slots in self._groups:
            own, shares = passed[slots], self._shares[slots]
            parts = values[which, None] * (own - shares) * others(own, shares)
            owners = self._leaves.slot_owners[slots]
            added += np.bincount(owners.ravel(), parts.ravel(), minlength=self._features)
        return added

    def _sum(self, passing: NDArray[Any]) -> Floats:
        """Return the outputs where each slot is passed so far, as a share of 1."""
        total = self._leaves.constant.copy()
        for which, slots in self._groups:
            total += passing[slots].prod(axis=1) @ self._leaves.values[which]
        return total


def others(own: Floats, shares: Floats) -> Floats:
    """Return ∫₀¹ ∏_{j≠i} (t·own_j + (1-t)·shares_j) dt for each i; all of shape (n_leaves, k)."""
    count = own.shape[1]
    nodes, weights = np.polynomial.legendre.leggauss((count + 1) // 2)
    total = np.zeros_like(own)
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        each = node * own + (1 - node) * shares
        before, after = np.ones_like(each), np.ones_like(each)
        np.cumprod(each[:, :-1], axis=1, out=before[:, 1:])
        np.cumprod(each[:, :0:-1], axis=1, out=after[:, -2::-1])
        total += weight * before * after
    return total


@dataclass(frozen=True)
class Ways:
    """What is asked on the ways to leaves, each of shape (n_conditions,)."""

    leaves: Ints
    columns: Ints
    above: Floats
    up_to: Floats
    missing: NDArray[np.bool_]


@dataclass(frozen=True)
class Trees:
    """The nodes of all trees, each of shape (n_nodes,), and what they add, (n_nodes, n_outputs).

    `parents` are positions, -1 at a root; `on_true` says on which side of its parent a node is.
    A row is on the lower side up to `ends`, which is the true one where `is_below`; `missing` says
    whether NaN is on the true one.
    """

    parents: Ints
    on_true: NDArray[np.bool_]
    is_leaf: NDArray[np.bool_]
    columns: Ints
    ends: Floats
    is_below: NDArray[np.bool_]
    missing: NDArray[np.bool_]
    votes: Floats
    constant: Floats

    @classmethod
    def of(cls, node: Node) -> Self:
        """Read the attributes of a node; raises UnreadableError."""
        return cls._of_any_type(node) if node.op == ANY_TYPE else cls._of_two_kinds(node)

    @classmethod
    def _of_any_type(cls, node: Node) -> Self:
        """Read the operator of ai.onnx.ml 5, whose leaves are numbered by themselves."""
        given = node.attributes
        modes = given["nodes_modes"].astype(np.int64)
        if strange := set(modes.tolist()) - set(range(len(BY_NUMBER))):
            raise UnreadableError(f"trees branch by {strange}")
        names = np.array(BY_NUMBER)[modes]
        count, leaves = len(modes), len(given["leaf_targetids"])
        children = [
            given[f"nodes_{side}nodeids"] + count * (given[f"nodes_{side}leafs"] > 0)
            for side in ("true", "false")
        ]
        parents, on_true = parents_of(np.arange(count), children, count + leaves)
        outputs = int(given["n_targets"])
        votes = no_votes(count + leaves, outputs)
        places = np.arange(count, count + leaves)
        votes[places, given["leaf_targetids"]] = given["leaf_weights"].astype(np.float64)
        if (how := given.get("aggregate_function", SUM)) not in (AVERAGE, SUM):
            raise UnreadableError(f"trees are joined by {how}")
        nobody = np.zeros(count, np.int64)
        missing = given.get("nodes_missing_value_tracks_true", nobody)
        rest = np.zeros(leaves)
        votes /= len(given["tree_roots"]) if how == AVERAGE else 1
        return cls(
            parents=parents,
            on_true=on_true,
            is_leaf=np.arange(count + leaves) >= count,
            columns=np.append(given["nodes_featureids"], rest.astype(np.int64)),
            ends=np.append(ends_of(given["nodes_splits"], names), rest),
            is_below=np.append(np.isin(names, BELOW), rest.astype(np.bool_)),
            missing=np.append(missing, rest).astype(np.bool_),
            votes=votes,
            constant=np.zeros(outputs),
        )

    @classmethod
    def _of_two_kinds(cls, node: Node) -> Self:
        """Read the operators of a classifier and of a regression."""
        given = node.attributes
        modes = np.array(given["nodes_modes"])
        if strange := set(modes.tolist()) - BRANCHES - {LEAF}:
            raise UnreadableError(f"trees branch by {', '.join(sorted(strange))}")
        places = Places.of(given["nodes_treeids"], given["nodes_nodeids"])
        thresholds = given.get("nodes_values_as_tensor", given.get("nodes_values"))
        nobody = np.zeros(len(modes), np.int64)
        branches = np.flatnonzero(modes != LEAF)
        trees = given["nodes_treeids"][branches]
        children = [
            places.find(trees, given[f"nodes_{side}nodeids"][branches])
            for side in ("true", "false")
        ]
        parents, on_true = parents_of(branches, children, len(modes))
        votes, constant = votes_of(node, places, len(np.unique(given["nodes_treeids"])))
        return cls(
            parents=parents,
            on_true=on_true,
            is_leaf=modes == LEAF,
            columns=given["nodes_featureids"],
            ends=ends_of(thresholds, modes),
            is_below=np.isin(modes, BELOW),
            missing=given.get("nodes_missing_value_tracks_true", nobody).astype(np.bool_),
            votes=votes,
            constant=constant,
        )

    def ways(self, leaves: Ints) -> Ways:
        """Return what is asked on the ways to leaves; raises UnreadableError for too much."""
        at, which, parts, count = leaves, np.arange(len(leaves)), [], 0
        for _ in range(MOST_DEPTH):
            above = self.parents[at]
            parts.append((which, above, self.on_true[at]))
            count += len(at)
            if count > MOST_CONDITIONS:
                raise UnreadableError("the trees have too many leaves")
            goes_on = self.parents[above] >= 0
            if not goes_on.any():
                break
            at, which = above[goes_on], which[goes_on]
        else:
            raise UnreadableError("a tree is too deep, or turns in a circle")
        owners, nodes, on_true = (np.concatenate(each) for each in zip(*parts, strict=True))
        is_low = on_true == self.is_below[nodes]
        return Ways(
            leaves=owners,
            columns=self.columns[nodes],
            above=np.where(is_low, -np.inf, self.ends[nodes]),
            up_to=np.where(is_low, self.ends[nodes], np.inf),
            missing=on_true == self.missing[nodes],
        )


@dataclass(frozen=True)
class Places:
    """Where the nodes of trees stand among all, by tree and number."""

    keys: Ints
    order: Ints
    width: int

    @classmethod
    def of(cls, trees: Ints, numbers: Ints) -> Self:
        """Number the nodes; raises UnreadableError where two have one name."""
        width = int(numbers.max()) + 1
        keys = trees * width + numbers
        order = np.argsort(keys, kind="stable")
        if (np.diff(keys[order]) == 0).any():
            raise UnreadableError("two nodes have one name")
        return cls(keys[order], order, width)

    def find(self, trees: Ints, numbers: Ints) -> Ints:
        """Return positions; raises UnreadableError where a node is not there."""
        wanted = trees * self.width + numbers
        places = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        if (self.keys[places] != wanted).any():
            raise UnreadableError("a branch leads nowhere")
        return self.order[places]


def parents_of(
    branches: Ints, children: Sequence[Ints], count: int
) -> tuple[Ints, NDArray[np.bool_]]:
    """Return the parent of each of `count` nodes, -1 for roots, and whether it is on its true side.

    `children` are those of the branches on the true side, and on the other one.
    """
    parents, on_true = np.full(count, -1), np.zeros(count, np.bool_)
    for child, is_true in zip(children, (True, False), strict=True):
        parents[child], on_true[child] = branches, is_true
    if len(np.unique(np.concatenate(children))) != 2 * len(branches):
        raise UnreadableError("two branches lead to one node")
    return parents, on_true


def ends_of(thresholds: NDArray[Any], modes: NDArray[Any]) -> Floats:
    """Return up to where the lower side of each node goes."""
    ends = thresholds.astype(np.float64)
    strict = np.isin(modes, STRICT)
    ends[strict] = np.nextafter(ends[strict], -np.inf)
    return np.asarray(ends)


def votes_of(node: Node, places: Places, trees: int) -> tuple[Floats, Floats]:
    """Return what each node adds to the outputs, and what is added to them without any."""
    given, kind = node.attributes, "target"
    outputs = int(given.get("n_targets", 1))
    if node.op == "TreeEnsembleClassifier":
        kind = "class"
        outputs = len(given.get("classlabels_int64s", given.get("classlabels_strings")))
    if (how := given.get("aggregate_function", "SUM")) not in ("SUM", "AVERAGE"):
        raise UnreadableError(f"trees are joined by {how}")
    weights = given.get(f"{kind}_weights_as_tensor", given.get(f"{kind}_weights"))
    nodes = places.find(given[f"{kind}_treeids"], given[f"{kind}_nodeids"])
    votes = no_votes(len(places.keys), outputs)
    np.add.at(votes, (nodes, given[f"{kind}_ids"]), weights.astype(np.float64))
    base = given.get("base_values_as_tensor", given.get("base_values", np.zeros(0)))
    constant = np.zeros(outputs)
    constant[: len(base)] = base
    votes /= trees if how == "AVERAGE" else 1
    return votes, constant


def no_votes(nodes: int, outputs: int) -> Floats:
    """Return a 0 for each node and output; raises UnreadableError where they are too many."""
    if nodes * outputs > MOST_VOTES:
        raise UnreadableError("the trees have too many outputs")
    return np.zeros((nodes, outputs))


def begins(sorted_keys: Ints) -> Ints:
    """Return where each run of equal keys begins."""
    return np.flatnonzero(np.diff(sorted_keys, prepend=sorted_keys[:1] - 1))
