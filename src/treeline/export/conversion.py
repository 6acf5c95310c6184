"""Fitted scikit-learn pipeline → ONNX graph with one float32 matrix in and codes and scores out.

What the graph takes and gives is written in `treeline.artifact.onnx`. Each step is converted by
itself and the pieces are joined, because the converter loses the width of a matrix between steps.
Conversion raises no error for some estimators that it converts wrongly, so nothing is exported on
its word: the export stage compares graph and estimator on the test split.
"""

import warnings
from copy import copy, deepcopy
from typing import Any

import numpy as np
import onnx
from onnx import compose, helper
from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
from skl2onnx import to_onnx, update_registered_converter
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)
from sklearn.compose import ColumnTransformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import QuantileTransformer
from xgboost import XGBClassifier, XGBRegressor

from treeline.artifact.onnx import SIGNATURE_KEY
from treeline.errors import ExportError, first_line
from treeline.export import converters

OPSET = {"": 21, "ai.onnx.ml": 3}  # the newest pair that every converter used here can write
IR_VERSION = 10  # what goes with opset 21
PLAIN = (
    "give the class a method `plain` that returns the fitted scikit-learn object that does the "
    "same (docs/add-a-model.md)"
)
PICKLED_LIBRARIES = ("catboost", "lightgbm")  # no lock holds them, so no conversion is tried
PICKLED = (
    "its library is none that is converted; it is served as a pickle, where API_ALLOW_PICKLE=1 and "
    "the library is installed, or take xgboost or sklearn.ensemble.HistGradientBoosting…, which are"
)
# In float32 two neighbours that are nearly as far may change places.
IN_DOUBLES = (KNeighborsClassifier, KNeighborsRegressor)


def converted(pipeline: Pipeline) -> onnx.ModelProto:
    """Return the graph of a fitted pipeline; raises ExportError naming what has no converter."""
    if isinstance(getattr(pipeline, "graph", None), bytes):  # an imported model is one already
        return onnx.load_from_string(pipeline.graph)
    if not isinstance(pipeline, Pipeline):
        raise ExportError(f"no ONNX converter for {type(pipeline).__name__}")
    try:
        return _graph_of(pipeline)
    except (onnx.checker.ValidationError, ValueError) as error:  # some converters write nonsense
        reason = first_line(error)
        raise ExportError(f"the ONNX graph is not valid: {reason}") from error


def _graph_of(pipeline: Pipeline) -> onnx.ModelProto:
    register_converters()
    (_, named), *steps = pipeline.steps
    rows = named.transform(np.zeros((1, len(named.names)), np.float32))
    graph = None
    for number, (name, step) in enumerate(steps):
        piece = _piece(_plain(name, step), width=rows.shape[1])
        piece = compose.add_prefix(piece, f"step{number}_")
        graph = piece if graph is None else joined(graph, piece)
        if name != "estimator":
            rows = step.transform(rows)
    assert graph is not None  # a fitted pipeline has steps
    _rename(graph.graph, {graph.graph.input[0].name: "features"})
    graph.graph.name = "treeline"
    return _with_outputs(graph, pipeline)


def sealed(graph: onnx.ModelProto, signature: str) -> bytes:
    """Return the bytes of a graph that carries its signature; same input, same bytes."""
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    helper.set_model_props(copy, {SIGNATURE_KEY: signature})
    return plain_bytes(copy)


def plain_bytes(graph: onnx.ModelProto) -> bytes:
    """Return the bytes of a graph; same graph, same bytes."""
    payload: bytes = graph.SerializeToString(deterministic=True)
    return payload


def register_converters() -> None:
    """Let the library know converters of estimators that it has none of, or a wrong one."""
    converters.register()
    for estimator, shapes, options in (
        (
            XGBClassifier,
            calculate_linear_classifier_output_shapes,
            {"zipmap": [True, False, "columns"], "nocl": [True, False]},
        ),
        (XGBRegressor, calculate_linear_regressor_output_shapes, None),
    ):
        update_registered_converter(
            estimator, f"Treeline{estimator.__name__}", shapes, convert_xgboost, options=options
        )


def _plain(name: str, step: Any) -> Any:
    """Return the library's object that does what a step does; raises ExportError without one.

    A class that no converter knows says by its method `plain` which fitted object of scikit-learn
    or XGBoost does the same. That may be a pipeline or a column transformer with more such steps.
    """
    if isinstance(step, QuantileTransformer):
        raise ExportError(
            "no ONNX converter for QuantileTransformer: the library's writes nodes for each of its "
            "quantiles, for hours; take RobustScaler or PowerTransformer, or serve it as a pickle"
        )
    if type(step).__module__.partition(".")[0] in PICKLED_LIBRARIES:
        raise ExportError(f"no ONNX converter for {_named(step)}: {PICKLED}")
    if getattr(step, "plain", None) is not None:
        step = step.plain()
    elif name != "estimator" and not type(step).__module__.startswith("sklearn."):
        raise ExportError(f"no ONNX converter for {_named(step)}: {PLAIN}")
    if isinstance(step, Pipeline):
        return Pipeline([(each, _plain(name, inner)) for each, inner in step.steps])
    if isinstance(step, ColumnTransformer):
        step = copy(step)
        step.transformers_ = [
            (each, inner if isinstance(inner, str) else _plain(name, inner), columns)
            for each, inner, columns in step.transformers_
        ]
    return step


def _named(step: Any) -> str:
    """Return the name of the class that a person declared."""
    return type(getattr(step, "made", step)).__name__


def _piece(step: Any, *, width: int) -> onnx.ModelProto:
    """Return the graph of one step, which a step of another engine's writes itself for OPSET."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of one library of the converter's about another
            piece = _written(step, width)
    except Exception as error:  # converters raise whatever their library raises
        reason = first_line(error)
        way_out = "" if type(step).__module__.startswith("sklearn.") else f"; {PLAIN}"
        raise ExportError(
            f"no ONNX converter for {_named(step)}: {type(error).__name__}: {reason}{way_out}"
        ) from error
    return stamped(piece)


def stamped(piece: onnx.ModelProto) -> onnx.ModelProto:
    """Say of a graph that it is for OPSET, for which it was written.

    A converter stamps it with the oldest version that would do.
    """
    del piece.opset_import[:]
    piece.opset_import.extend(helper.make_opsetid(d, version) for d, version in OPSET.items())
    piece.ir_version = IR_VERSION
    return piece


def piece_of(estimator: Any, *, width: int) -> onnx.ModelProto:
    """Return the graph of one fitted estimator over `width` columns; raises ExportError."""
    return _piece(_plain("estimator", estimator), width=width)


def _written(step: Any, width: int) -> onnx.ModelProto:
    """Return the graph of one step by whoever writes it best."""
    if hasattr(step, "onnx_piece"):
        piece: onnx.ModelProto = step.onnx_piece(width)
        return piece
    if converters.is_forest(step):
        return converters.graph_of(step, width=width, opset=OPSET)
    piece = _converted(_equal(step), width)
    if isinstance(step, BaggingClassifier | BaggingRegressor) and converters.is_forest(step[0]):
        converters.route_missing(piece, [each.tree_ for each in step.estimators_])
    return piece


def _equal(step: Any) -> Any:
    """Return an estimator that predicts the same for float32 rows, and that is converted exactly.

    Histogram boosting compares with double thresholds, which the converter rounds to the nearest
    float32: rounded down, no float32 changes its side. Linear discriminant analysis is converted
    wrongly, and predicts as a logistic regression with its coefficients.
    """
    if isinstance(step, HistGradientBoostingClassifier | HistGradientBoostingRegressor):
        step = deepcopy(step)
        for trees in step._predictors:
            for tree in trees:
                exact = tree.nodes["num_threshold"]
                nearest = exact.astype(np.float32)
                down = np.nextafter(nearest, np.float32(-np.inf))
                tree.nodes["num_threshold"] = np.where(nearest > exact, down, nearest)
    if isinstance(step, LinearDiscriminantAnalysis):
        logistic = LogisticRegression()
        for name in ("classes_", "coef_", "intercept_", "n_features_in_"):
            setattr(logistic, name, getattr(step, name))
        return logistic
    return step


def _converted(step: Any, width: int) -> onnx.ModelProto:
    options: dict[Any, Any] = {}
    if hasattr(step, "predict_proba"):
        options[id(step)] = {"zipmap": False}
    exact = isinstance(step, IN_DOUBLES)
    kind = DoubleTensorType if exact else FloatTensorType
    graph: onnx.ModelProto = to_onnx(
        step,
        initial_types=[("features", kind([None, width]))],
        options=options,
        target_opset=OPSET,
        name="piece",
    )
    return _between_floats(graph) if exact else graph


def _between_floats(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph of doubles that takes and gives float32."""
    body, single, double = graph.graph, onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE
    taken = body.input[0].name
    _rename(body, {taken: "doubles"})
    body.input[0].name = taken
    body.input[0].type.tensor_type.elem_type = single
    body.node.insert(0, helper.make_node("Cast", [taken], ["doubles"], to=double))
    for output in body.output:
        if output.type.tensor_type.elem_type == double:
            body.node.append(
                helper.make_node("Cast", [output.name], [f"{output.name}_single"], to=single)
            )
            output.name = f"{output.name}_single"
            output.type.tensor_type.elem_type = single
    return graph


def joined(first: onnx.ModelProto, second: onnx.ModelProto) -> onnx.ModelProto:
    """Return one graph, in which the second takes what the first gives; no name is in both."""
    seam = (first.graph.output[0].name, second.graph.input[0].name)
    joined: onnx.ModelProto = compose.merge_models(first, second, io_map=[seam])
    return joined


def _with_outputs(graph: onnx.ModelProto, pipeline: Pipeline) -> onnx.ModelProto:
    """Give the graph our outputs; labels and values become vectors of shape (n_rows,)."""
    body = graph.graph
    outputs = [output.name for output in body.output]
    del body.output[:]
    body.initializer.append(onnx.numpy_helper.from_array(np.array([-1], np.int64), "flat"))
    classifier = hasattr(pipeline, "classes_")
    int64, float32 = onnx.TensorProto.INT64, onnx.TensorProto.FLOAT
    vector, kind = ("label", int64) if classifier else ("value", float32)
    body.node.append(helper.make_node("Reshape", [outputs[0], "flat"], [vector]))
    body.output.append(helper.make_tensor_value_info(vector, kind, ["rows"]))
    if classifier and hasattr(pipeline, "predict_proba"):
        body.node.append(helper.make_node("Identity", [outputs[1]], ["scores"]))
        shape: list[str | int | None] = ["rows", len(pipeline.classes_)]
        body.output.append(helper.make_tensor_value_info("scores", float32, shape))
    onnx.checker.check_model(graph)
    return graph


def _rename(body: onnx.GraphProto, names: dict[str, str]) -> None:
    """Rename inputs of a graph, and wherever its nodes read them."""
    for entry in body.input:
        entry.name = names.get(entry.name, entry.name)
    for node in body.node:
        for position, name in enumerate(node.input):
            node.input[position] = names.get(name, name)
