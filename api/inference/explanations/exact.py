"""The graph of a linear model or of trees → its exact explanation, tried before it is believed.

A graph is taken as columns of single features, one linear or tree operator, and a link from its
outputs to the answer. Nothing is believed of that on its word: the answers to rows whose features
are drawn by themselves must be those of the runtime.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from api.inference.explanations.background import Background
from api.inference.explanations.columns import INPUT, Owners, owners_of
from api.inference.explanations.linear import LinearHead
from api.inference.explanations.reading import Array, Graph, Node, UnreadableError
from api.inference.explanations.trees import Leaves, TreeHead
from treeline.artifact import Prediction
from treeline.contract.encoding import Matrix
from treeline.contract.signature import Signature

Floats = NDArray[np.float64]
TRIED = 48  # rows on which a reading is held against the runtime
TOLERANCE = 1e-4  # of a probability, or of the greatest value: sums of float32
MOST_CELLS = 1 << 22  # of the columns of all points, and of the answers by outputs: 32 MB each
LINEAR = frozenset({"LinearClassifier", "LinearRegressor"})
TREES = frozenset({"TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble"})
SAME = frozenset({"Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Normalizer"})


class Head(Protocol):
    """The operator that predicts, against a background."""

    expected: Floats
    """The mean of each output over the background, shape (n_outputs,)."""

    def raw(self, columns: NDArray[Any]) -> Floats:
        """Return outputs of shape (n_rows, n_outputs) for columns of shape (n_rows, n_columns)."""

    def contributions(self, columns: NDArray[Any], mix: Floats) -> Floats:
        """Return what each feature adds to a mixture of the outputs, shape (n_features,)."""


@dataclass(frozen=True)
class Mix:
    """Outputs of the operator → what is explained, `raw @ mix + offset`: one column per answer.

    `mix` is of shape (n_outputs, n_answers), `offset` of shape (n_answers,).
    """

    mix: Floats
    offset: Floats

    def of(self, raw: Floats) -> Floats:
        """Return what is explained, shape (n_rows, n_answers)."""
        return raw @ self.mix + self.offset

    def then(self, change: Floats) -> "Mix":
        """Return this with the columns mixed once more, by a matrix."""
        return Mix(self.mix @ change, self.offset @ change)


@dataclass(frozen=True)
class Link:
    """One way from what is explained to an answer: the scale, the mixture, the function."""

    scale: str
    mix: Mix
    answer: Callable[[Floats], Floats]


@dataclass(frozen=True)
class Exact:
    """A reading of a graph that repeats its answers."""

    head: Head
    link: Link
    columns: Callable[[Matrix], NDArray[Any]]

    @property
    def scale(self) -> str:
        """On which scale contributions add up."""
        return self.link.scale

    def explained(self, row: Matrix, answer: int) -> tuple[float, Floats]:
        """Return the base and what each feature adds to one of the answers, shape (n_features,).

        `row` is float32 of shape (1, n_features).
        """
        mix, offset = self.link.mix.mix[:, answer], self.link.mix.offset[answer]
        added = self.head.contributions(self.columns(row)[0], mix)
        return float(self.head.expected @ mix + offset), added


Predict = Callable[[Matrix], Prediction]


def exact_of(
    payload: bytes, signature: Signature, background: Background, predict: Predict
) -> Exact | None:
    """Return how a graph is explained exactly, None where it is not of that kind."""
    if signature.target.task != "regression" and not signature.probabilities:
        return None
    try:
        return _read(Graph.of(payload), signature, background, predict)
    except (UnreadableError, IndexError, KeyError, TypeError, ValueError, AttributeError):
        return None
    except MemoryError:  # sampling takes less
        return None


def _read(
    graph: Graph, signature: Signature, background: Background, predict: Predict
) -> Exact | None:
    heads = [node for node in graph.nodes if node.op in LINEAR | TREES]
    if len(heads) != 1:
        return None
    (node,) = heads
    inside, score = node.inputs[0], node.outputs[-1]
    owners = owners_of(graph, width=len(signature.features))[inside]
    if max(len(background.codes) * len(owners), len(signature.classes) ** 2) > MOST_CELLS:
        return None
    columns = columns_of(graph, inside)
    points = columns(background.codes)
    if points.shape[1:] != owners.shape:
        return None
    head = head_of(node, owners, points, background)
    tail = tail_of(graph, score, outputs=len(head.expected))
    places = background.places(TRIED, np.random.default_rng(0))
    rows = background.codes[places, np.arange(places.shape[1])]
    mixed = points[places[:, np.maximum(owners, 0)], np.arange(len(owners))]
    answers, raw = answers_of(predict(rows), signature), head.raw(mixed)
    for link in links(tail, signature):
        if repeats(link.answer(link.mix.of(raw)), answers, signature):
            return Exact(head, link, columns)
    return None


def head_of(node: Node, owners: Owners, points: NDArray[Any], background: Background) -> Head:
    """Return the operator that predicts; raises UnreadableError."""
    if node.op in LINEAR:
        return LinearHead(node, owners, points, background.shares)
    return TreeHead(Leaves.of(node, owners), points, background.shares)


def columns_of(graph: Graph, name: str) -> Callable[[Matrix], NDArray[Any]]:
    """Return what computes a tensor inside a graph, by the runtime itself."""
    if name == INPUT:
        return lambda rows: rows
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            graph.showing(name), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime raises a class of its own for each kind of fault
        raise UnreadableError(str(error)) from error

    def columns(rows: Matrix) -> NDArray[Any]:
        (computed,) = session.run([name], {INPUT: rows})
        return np.asarray(computed)

    return columns


def tail_of(graph: Graph, score: str, *, outputs: int) -> Mix:
    """Return what the nodes after the operator make of its outputs; raises UnreadableError."""
    by_output = {name: node for node in graph.nodes for name in node.outputs}
    chain: list[Node] = []
    name = "scores" if "scores" in by_output else "value"
    while name != score:
        node = by_output[name]
        inputs = [each for each in node.inputs if each and each not in graph.constants]
        if inputs != [node.inputs[0]]:
            raise UnreadableError(f"{node.op} joins what is computed")
        chain.append(node)
        name = inputs[0]
    mix = Mix(np.eye(outputs), np.zeros(outputs))
    for node in reversed(chain):
        mix = _after(node, mix, graph.constants)
    return mix


def _after(node: Node, mix: Mix, constants: Mapping[str, Array]) -> Mix:
    if node.op in SAME:  # a Normalizer divides by 1, where probabilities are
        return mix
    constant = constants[node.inputs[1]]
    if node.op in {"Gather", "ArrayFeatureExtractor"}:
        return Mix(mix.mix[:, constant.ravel()], mix.offset[constant.ravel()])
    number = constant.astype(np.float64).ravel()
    if node.op in {"Mul", "Div"}:
        factor = number if node.op == "Mul" else 1 / number
        return Mix(mix.mix * factor, mix.offset * factor)
    if node.op in {"Add", "Sub"}:
        return replace(mix, offset=mix.offset + (number if node.op == "Add" else -number))
    raise UnreadableError(f"{node.op} after the operator")


def links(tail: Mix, signature: Signature) -> list[Link]:
    """Return the ways in which a model may come from its outputs to its answer."""
    count = tail.mix.shape[1]
    if signature.target.task == "regression":
        return [Link("value", tail, lambda given: given)]
    if signature.target.task == "multiclass":
        centred = tail.then(np.eye(count) - 1 / count)
        return [Link("probability", tail, lambda given: given), Link("log-ratio", centred, softmax)]
    ways = [np.eye(count)[:, [each]] for each in (count - 1, 0)]
    odds = [*ways, np.array([[-1.0], [1.0]])] if count == 2 else ways
    return [
        *(Link("probability", tail.then(way), lambda given: given) for way in ways),
        *(Link("log-odds", tail.then(way), logistic) for way in odds),
    ]


def repeats(given: Floats, answers: Floats, signature: Signature) -> bool:
    """Tell whether a reading gives the answers of the runtime, within rounding."""
    if given.shape != answers.shape or not np.isfinite(answers).all():
        return False
    largest = 1.0 if signature.classes else max(float(np.abs(answers).max()), 1e-9)
    return bool((np.abs(given - answers) <= TOLERANCE * largest).all())


def answers_of(prediction: Prediction, signature: Signature) -> Floats:
    """Return the numbers that are answered, shape (n_rows, n_answers)."""
    if signature.target.task == "regression":
        return np.asarray(prediction.values, np.float64).reshape(-1, 1)
    scores = np.asarray(prediction.scores, np.float64)
    return scores[:, -1:] if signature.target.task == "binary" else scores


def logistic(given: Floats) -> Floats:
    """Return the probability that has these log-odds."""
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-given)))


def softmax(given: Floats) -> Floats:
    """Return the probabilities of classes by row."""
    powers = np.exp(given - given.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
