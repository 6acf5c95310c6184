"""A fitted estimator of scikit-learn or XGBoost → its graph, by the converters of the export.

The last step is converted as an export converts it, which is exact for trees; the steps before it
by their library, over one matrix where all columns are numbers, or over a column each.
"""

import warnings
from collections.abc import Sequence
from copy import copy, deepcopy
from typing import Any

import numpy as np
import onnx
import pandas as pd
from onnx import helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder
from xgboost import XGBModel

from treeline.errors import ExportError, first_line
from treeline.export import converters
from treeline.export.conversion import OPSET, joined, piece_of, register_converters, stamped
from treeline.intake.labels import as_positions
from treeline.registry import resolve

# Libraries whose last step has a graph of its own, with positions for labels.
TAILS = {
    "catboost": "treeline.intake.catboost_models:tail",
    "lightgbm": "treeline.intake.lightgbm_models:tail",
}
KINDS = {"text": StringTensorType, "number": FloatTensorType}


def converted(
    estimator: Any, inputs: Sequence[tuple[str, str]], classes: Sequence[Any]
) -> onnx.ModelProto:
    """Return the graph, whose labels are positions in `classes`, if there are any.

    An input is the name of a column and what it holds, `text` or `number`. Raises ExportError
    naming what has no converter.
    """
    estimator = getattr(estimator, "best_estimator_", estimator)
    register_converters()
    steps = estimator.steps if isinstance(estimator, Pipeline) else [("estimator", estimator)]
    *before, (_, last) = steps
    tail = _tail(last, classes)
    if before:
        return joined(_head(Pipeline(before), inputs), onnx.compose.add_prefix(tail, "last_"))
    if text := next((name for name, kind in inputs if kind == "text"), None):
        raise ExportError(f"no ONNX converter for a model of one step that takes texts: {text!r}")
    return tail


def _tail(last: Any, classes: Sequence[Any]) -> onnx.ModelProto:
    """Return the graph of the last step over the matrix that it takes."""
    width = int(getattr(last, "n_features_in_", 0))
    if (library := type(last).__module__.partition(".")[0]) in TAILS:
        tail: onnx.ModelProto = resolve(TAILS, library, place=library, extra="import")(last)
        return tail
    if isinstance(last, XGBModel):
        last = deepcopy(last)
        last.get_booster().feature_names = None  # its converter knows columns by number alone
    if converters.is_forest(last) and len(classes):
        last = copy(last)
        last.classes_ = np.arange(len(classes))
        return piece_of(last, width=width)
    tail = piece_of(last, width=width)
    if len(classes):
        as_positions(tail.graph, classes)
        if not hasattr(last, "predict_proba"):
            del tail.graph.output[1:]  # what a converter gives besides is no probability
    return tail


def _head(before: Pipeline, inputs: Sequence[tuple[str, str]]) -> onnx.ModelProto:
    """Return the graph of the steps before the last one, which gives float32."""
    before = _with_empty_texts(before)
    columns = [(name, KINDS[kind]([None, 1])) for name, kind in inputs]
    ways: list[list[tuple[str, Any]]] = [columns]
    if all(kind == "number" for _, kind in inputs):
        ways.insert(0, [("matrix", FloatTensorType([None, len(inputs)]))])
    reasons = []
    for types in ways:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of one library of the converter's about another
                graph: onnx.ModelProto = to_onnx(before, initial_types=types, target_opset=OPSET)
        except Exception as error:  # converters raise whatever their library raises
            reasons.append(f"{type(error).__name__}: {first_line(error)}")
            continue
        if types is columns:
            _name_columns(graph.graph, [name for name, _ in inputs])
        return _of_floats(stamped(graph))
    raise ExportError(f"no ONNX converter for the steps before the last one: {reasons[-1]}")


def _with_empty_texts(before: Pipeline) -> Pipeline:
    """Return the same steps, for which a missing text is the empty one, as it is in a graph."""
    before = deepcopy(before)
    waiting: list[Any] = [before]
    while waiting:
        step = waiting.pop()
        if isinstance(step, Pipeline):
            waiting += [inner for _, inner in step.steps]
        elif isinstance(step, ColumnTransformer):
            waiting += [inner for _, inner, _ in step.transformers_]
        elif isinstance(step, SimpleImputer) and step.statistics_.dtype == object:
            step.missing_values = ""
        elif isinstance(step, OneHotEncoder):
            step.categories_ = [np.where(pd.isna(each), "", each) for each in step.categories_]
    return before


def _name_columns(body: onnx.GraphProto, names: Sequence[str]) -> None:
    """Give the inputs of a graph the names of its columns, whose signs a converter replaces."""
    changed = {entry.name: name for entry, name in zip(body.input, names, strict=True)}
    for entry in body.input:
        entry.name = changed[entry.name]
    for node in body.node:
        node.input[:] = [changed.get(name, name) for name in node.input]


def _of_floats(graph: onnx.ModelProto) -> onnx.ModelProto:
    (output,) = graph.graph.output
    tensor = output.type.tensor_type
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        given, output.name = output.name, "treeline_floats"
        cast = helper.make_node("Cast", [given], [output.name], to=onnx.TensorProto.FLOAT)
        graph.graph.node.append(cast)
        tensor.elem_type = onnx.TensorProto.FLOAT
    return graph
