"""LightGBM's own files, and its estimators → a fitted model, and its graph by the ONNX converter.

LightGBM compares with double thresholds. They are rounded down to float32, so that no float32
changes its side; the converter would round them to the nearest.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray
from onnx import helper
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from treeline.artifact import Prediction
from treeline.errors import ArtifactRejectedError, ExportError, first_line
from treeline.export.conversion import joined, stamped
from treeline.intake import Said
from treeline.intake.labels import ML
from treeline.intake.models import called

WRITTEN = 15  # the newest opset that the converter writes; trees are the same in later ones
CLASSIFIES = ("binary", "multiclass")
# Objectives that answer the sum of the leaves, under the name by which the converter knows one.
SUMS = {"fair": "regression", "mape": "regression", "regression_l1": "regression"}
UNNAMED = "Column_"  # what columns are called that had no name
MOST = float(np.finfo(np.float32).max)  # a threshold beyond tells missing values from all others
ZERO = float(np.float32(1e-35))  # what is no further from 0 is 0 for LightGBM
FLOAT = onnx.TensorProto.FLOAT


@dataclass(frozen=True)
class LightGbmModel:
    """A booster; `categories` are the texts of each column of categories, by its name."""

    booster: Any
    objective: str
    classes: tuple[Any, ...]
    categories: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    made: str = "lightgbm.Booster"

    @property
    def names(self) -> tuple[str, ...] | None:
        """The columns that its file names."""
        names = tuple(self.booster.feature_name())
        unnamed = tuple(f"{UNNAMED}{place}" for place in range(len(names)))
        return None if names == unnamed else names

    def predict(self, frame: pd.DataFrame) -> Prediction:
        """Answer a frame, in which a category is its text."""
        answers = np.asarray(self.booster.predict(self._matrix(frame), num_threads=1))
        if not self.classes:
            return Prediction(values=answers.reshape(-1))
        scores = np.column_stack([1 - answers, answers]) if answers.ndim == 1 else answers
        places = scores.argmax(axis=1)
        labels = np.array([self.classes[place] for place in places], dtype=object)
        return Prediction(labels=labels, scores=scores)

    def _matrix(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Return the numbers that it was fitted on: the position of a category among its texts."""
        columns = []
        for name in frame:
            values = frame[name]
            if name in self.categories:
                known = {str(each): code for code, each in enumerate(self.categories[str(name)])}
                values = values.map(known)
            columns.append(values.to_numpy(dtype=np.float64, na_value=np.nan))
        return np.column_stack(columns)

    def graph(self, inputs: Sequence[tuple[str, str]]) -> onnx.ModelProto:
        """Return its graph, of one matrix, or of a column for each where one has texts."""
        trees = graph_of(self.booster, self.objective)
        if not any(kind == "text" for _, kind in inputs):
            return trees
        if lost := [n for n, kind in inputs if kind == "text" and n not in self.categories]:
            raise ExportError(
                f"{lost[0]!r} holds texts, and the model was fitted on its numbers; give a table "
                "that has these numbers"
            )
        return joined(self._head(inputs), onnx.compose.add_prefix(trees, "trees_"))

    def _head(self, inputs: Sequence[tuple[str, str]]) -> onnx.ModelProto:
        """Return the graph that makes one matrix of the columns."""
        nodes, entries = [], []
        for place, (name, kind) in enumerate(inputs):
            texts = kind == "text"
            given = onnx.TensorProto.STRING if texts else FLOAT
            entries.append(helper.make_tensor_value_info(name, given, ["rows", 1]))
            own = [str(each) for each in self.categories.get(name, ())]
            nodes.append(
                helper.make_node(
                    "LabelEncoder", [name], [f"code_{place}"], domain=ML, keys_strings=own,
                    values_floats=[float(code) for code in range(len(own))],
                    default_float=float("nan"),
                )
                if texts
                else helper.make_node("Identity", [name], [f"code_{place}"])
            )  # fmt: skip
        codes = [f"code_{place}" for place in range(len(inputs))]
        nodes.append(helper.make_node("Concat", codes, ["matrix"], axis=1))
        output = helper.make_tensor_value_info("matrix", FLOAT, ["rows", len(inputs)])
        return stamped(helper.make_model(helper.make_graph(nodes, "head", entries, [output])))


def read_lightgbm(place: str, said: Said) -> LightGbmModel:
    """Open a model that LightGBM saved as a text; raises ArtifactRejectedError."""
    text = Path(place).read_text(encoding="utf-8", errors="replace")
    if not text.startswith("tree\n"):
        raise ArtifactRejectedError(
            f"{place}: not a model of LightGBM; give what Booster.save_model has written"
        )
    try:
        booster = lightgbm.Booster(model_str=text)
    except (lightgbm.basic.LightGBMError, ValueError, IndexError) as error:
        reason = first_line(error)
        raise ArtifactRejectedError(f"{place}: not a model of LightGBM: {reason}") from error
    says = dict(line.split("=", 1) for line in text.split("\n\n")[0].splitlines() if "=" in line)
    objective = says.get("objective", "")
    own = _classes(booster, objective)
    return LightGbmModel(
        booster,
        objective,
        called(place, said, own) if own else (),
        _categories(booster, says, place),
    )


def tail(estimator: Any) -> onnx.ModelProto:
    """Return the graph of a fitted estimator of LightGBM; its labels are positions."""
    objective = str(estimator.objective_)
    return graph_of(estimator.booster_, objective)


def graph_of(booster: Any, objective: str) -> onnx.ModelProto:
    """Return the graph of a booster over its matrix; raises ExportError where there is none.

    It gives labels, positions among the classes, and probabilities; or values.
    """
    width = booster.num_feature()
    try:
        graph: onnx.ModelProto = convert_lightgbm(
            Rounded(booster, objective),
            initial_types=[("features", FloatTensorType([None, width]))],
            target_opset=WRITTEN,
            zipmap=False,
        )
    except Exception as error:  # converters raise whatever their library raises
        reason = first_line(error)
        raise ExportError(
            f"no ONNX converter for a model of LightGBM with `objective: {objective or 'none'}`: "
            f"{type(error).__name__}: {reason}"
        ) from error
    return stamped(graph)


class Rounded(lightgbm.Booster):
    """A booster as its converter reads one, with thresholds that no float32 tells from its own."""

    is_mock = True  # so that the converter asks for nothing else

    def __init__(self, booster: Any, objective: str) -> None:
        super().__init__(model_str=booster.model_to_string())
        self.params: dict[str, Any] = {}  # what is not said here is looked up in the trees
        self._objective = objective

    def dump_model(
        self,
        num_iteration: int | None = None,
        start_iteration: int = 0,
        importance_type: str = "split",
        object_hook: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """Return the trees as LightGBM describes them."""
        document: dict[str, Any] = super().dump_model(
            num_iteration, start_iteration, importance_type, object_hook
        )
        first = self._objective.partition(" ")[0]
        document["objective"] = SUMS.get(first, self._objective)
        rounds = len(document["tree_info"]) / max(1, document["num_tree_per_iteration"])
        for tree in document["tree_info"]:
            _rounded(tree["tree_structure"], 1 / rounds if document["average_output"] else 1.0)
        return document


def _rounded(root: dict[str, Any], share: float) -> None:
    """Round the thresholds of a tree down to float32, and take a share of its leaves."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if "leaf_value" in node:
            node["leaf_value"] *= share
            continue
        if node["decision_type"] == "<=":
            exact = float(np.clip(float(node["threshold"]), -MOST, MOST))
            nearest = np.float32(exact)
            above = float(nearest) > exact or exact == -ZERO  # which is 0 there, and so above
            lower = np.nextafter(nearest, np.float32(-np.inf))
            node["threshold"] = float(lower if above else nearest)
        waiting += [node["left_child"], node["right_child"]]


def _classes(booster: Any, objective: str) -> tuple[int, ...]:
    if not objective.startswith(CLASSIFIES):
        return ()
    count = booster.dump_model(num_iteration=1)["num_class"]
    return tuple(range(max(2, count)))


def _categories(booster: Any, says: Mapping[str, str], place: str) -> dict[str, tuple[Any, ...]]:
    """Return the texts of each column of categories; raises ArtifactRejectedError if unclear."""
    texts = booster.pandas_categorical or []
    infos = says.get("feature_infos", "").split(" ")
    known = [
        name
        for name, info in zip(booster.feature_name(), infos, strict=False)
        if info != "none" and not info.startswith("[")
    ]
    if not texts:
        return {}
    if len(known) != len(texts):
        raise ArtifactRejectedError(
            f"{place}: it was fitted on {len(texts)} columns of categories, of which it uses "
            f"{len(known)}, and does not say which; fit it without the others"
        )
    return {name: tuple(each) for name, each in zip(known, texts, strict=True)}
