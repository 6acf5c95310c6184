"""What stock exporters write is admitted as it is, and answers as its maker does."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxmltools
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper
from onnxmltools.convert.common.data_types import FloatTensorType
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    quantize_dynamic,
    quantize_static,
)
from skl2onnx import to_onnx
from skl2onnx.common import data_types
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from starlette.testclient import TestClient
from xgboost import XGBClassifier

from tests.api.uploading import uploading
from tests.tiny_graphs import model

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(60, 4)).astype(np.float32)
CLASSES = np.digitize(ROWS[:, 0] + ROWS[:, 1], [-0.5, 0.5])
NAMES = np.array(["setosa", "versicolor", "Virginica"])[CLASSES]
ASKED = ROWS[:5]
FLOAT = TensorProto.FLOAT
PICTURES = RANDOM.normal(size=(2, 3, 16, 16)).astype(np.float32)
TOKENS = RANDOM.normal(size=(2, 5, 8)).astype(np.float32)

Array = NDArray[Any]


@pytest.fixture(scope="module")
def client(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with uploading(models, tmp_path_factory.mktemp("state")) as client:
        yield client


def put(client: TestClient, name: str, exported: ModelProto | bytes) -> Any:
    payload = exported if isinstance(exported, bytes) else exported.SerializeToString()
    answer = client.put(f"/v1/models/{name}", content=payload)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


def values(client: TestClient, name: str, given: Array = ASKED) -> Any:
    answer = client.post(f"/v1/models/{name}/predict", json={"values": given.tolist()})
    assert answer.status_code == 200, answer.text
    return answer.json()["values"]


def test_a_booster_that_onnxmltools_converts_needs_no_version_of_what_it_does_not_use(
    client: TestClient,
) -> None:
    booster = XGBClassifier(n_estimators=3).fit(ROWS, CLASSES)
    types = [("input", FloatTensorType([None, 4]))]
    exported = onnxmltools.convert_xgboost(booster, initial_types=types)
    assert [each.domain for each in exported.opset_import] == ["ai.onnx.ml"]
    put(client, "booster", exported)
    found = values(client, "booster")
    assert found["label"] == booster.predict(ASKED).tolist()
    assert np.allclose(found["probabilities"], booster.predict_proba(ASKED), atol=1e-6)


LABELS = {"texts": NAMES, "numbers": CLASSES - 1}


@pytest.mark.parametrize("kind", LABELS)
def test_a_classifier_that_skl2onnx_converts_keeps_the_names_of_its_classes(
    client: TestClient, kind: str
) -> None:
    fitted = LogisticRegression().fit(ROWS, LABELS[kind])
    card = put(client, kind, to_onnx(fitted, ROWS[:1]))
    assert card["outputs"][1]["classes"] == fitted.classes_.tolist()
    found = values(client, kind)
    assert found["output_label"] == fitted.predict(ASKED).tolist()
    for row, wanted in zip(
        found["output_probability"], fitted.predict_proba(ASKED).tolist(), strict=True
    ):
        assert row == pytest.approx(
            dict(zip(map(str, fitted.classes_), wanted, strict=True)), abs=1e-6
        )


def test_a_classifier_of_several_targets_answers_a_sequence(client: TestClient) -> None:
    targets = np.stack([NAMES, np.where(ROWS[:, 2] > 0, "tall", "low")], axis=1)
    fitted = MultiOutputClassifier(LogisticRegression()).fit(ROWS, targets)
    put(client, "several", to_onnx(fitted, ROWS[:1], options={"zipmap": False}))
    found = values(client, "several")
    assert found["label"] == fitted.predict(ASKED).tolist()
    for each, wanted in zip(found["probabilities"], fitted.predict_proba(ASKED), strict=True):
        assert np.allclose(each, wanted, atol=1e-6)


@pytest.mark.filterwarnings("ignore")  # skl2onnx advises against it
@pytest.mark.parametrize("shape", [[None, None], [1, None]], ids=str)
def test_a_number_of_features_that_is_not_declared_is_found_by_trying(
    client: TestClient, shape: list[int | None]
) -> None:
    """Many examples export with [None, None], and a scaler takes its own number only."""
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, CLASSES)
    types = [("x", data_types.FloatTensorType(shape))]
    put(client, "scaled", to_onnx(fitted, initial_types=types, options={"zipmap": False}))
    assert values(client, "scaled", ROWS[:1])["label"] == fitted.predict(ROWS[:1]).tolist()


def test_a_graph_without_any_shape_is_tried_and_takes_what_comes(client: TestClient) -> None:
    fitted = LogisticRegression().fit(ROWS, CLASSES)
    exported = to_onnx(fitted, ROWS[:1], options={"zipmap": False})
    for each in (*exported.graph.input, *exported.graph.output):
        each.type.tensor_type.ClearField("shape")
    card = put(client, "shapeless", exported)
    assert card["inputs"][0]["shape"] is None
    assert values(client, "shapeless")["label"] == fitted.predict(ASKED).tolist()


def node(operator: str, given: str, made: str, **attributes: Any) -> NodeProto:
    return helper.make_node(operator, given.split(), [made], **attributes)


def weights(*shape: int) -> Array:
    return RANDOM.normal(size=shape).astype(np.float32)


def network() -> ModelProto:
    """Return a small network for pictures."""
    return model(
        [
            node("Conv", "x kernel bias", "seen", pads=[1, 1, 1, 1]),
            node("Relu", "seen", "bright"),
            node("GlobalAveragePool", "bright", "pooled"),
            node("Flatten", "pooled", "flat"),
            node("MatMul", "flat w", "scored"),
            node("Softmax", "scored", "y"),
        ],
        [("x", FLOAT, ["n", 3, 16, 16])],
        [("y", FLOAT, ["n", 4])],
        constants={"kernel": weights(8, 3, 3, 3), "bias": weights(8), "w": weights(8, 4)},
    )


def transformer() -> ModelProto:
    """Return one layer as PyTorch exports it: a GELU by its parts, attention, a norm."""
    return model(
        [
            node("MatMul", "x w", "projected"),
            node("Add", "projected b", "moved"),
            node("Div", "moved root", "divided"),
            node("Erf", "divided", "erf"),
            node("Add", "erf one", "raised"),
            node("Mul", "moved raised", "doubled"),
            node("Mul", "doubled half", "gelu"),
            node("Transpose", "gelu", "turned", perm=[0, 2, 1]),
            node("MatMul", "gelu turned", "alike"),
            node("Mul", "alike half", "scaled"),
            node("Softmax", "scaled", "weighed", axis=-1),
            node("MatMul", "weighed gelu", "context"),
            node("Add", "context x", "joined"),
            node("LayerNormalization", "joined scale shift", "y", axis=-1),
        ],
        [("x", FLOAT, ["n", "t", 8])],
        [("y", FLOAT, ["n", "t", 8])],
        constants={
            **{"w": weights(8, 8), "b": weights(8), "scale": weights(8), "shift": weights(8)},
            **{name: np.array(value, np.float32) for name, value in NUMBERS.items()},
        },
    )


NUMBERS = {"root": 2**0.5, "one": 1.0, "half": 0.5}


class Seen(CalibrationDataReader):
    """What a network is calibrated with."""

    def __init__(self) -> None:
        self._left = [{"x": PICTURES[:1]}, {"x": PICTURES[1:]}]

    def get_next(self) -> dict[str, Array] | None:
        """Return the next picture, until there is none."""
        return self._left.pop() if self._left else None


def dynamic(source: Path, target: Path) -> None:
    quantize_dynamic(source, target)


def operators(source: Path, target: Path) -> None:
    quantize_static(source, target, Seen(), quant_format=QuantFormat.QOperator)


def nodes_beside(source: Path, target: Path) -> None:
    quantize_static(source, target, Seen(), quant_format=QuantFormat.QDQ)


def optimised(level: str) -> Any:
    def save(source: Path, target: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = getattr(
            onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level}"
        )
        options.optimized_model_filepath = str(target)
        options.log_severity_level = 4
        onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])

    return save


GRAPHS = {"network": (network, PICTURES), "transformer": (transformer, TOKENS)}
SAVED: Mapping[str, tuple[str, list[Any], set[str]]] = {
    "dynamic": ("network", [dynamic], set()),
    "dynamic-all": ("network", [dynamic, optimised("ALL")], {"DynamicQuantizeMatMul"}),
    "operators": ("network", [operators], {"QLinearGlobalAveragePool", "QLinearSoftmax"}),
    "operators-all": ("network", [operators, optimised("ALL")], {"QLinearConv"}),
    "beside-all": ("network", [nodes_beside, optimised("ALL")], {"QLinearConv"}),
    "basic": ("network", [optimised("BASIC")], set()),
    "extended": ("network", [optimised("EXTENDED")], {"FusedConv"}),
    "transformer-all": (
        "transformer",
        [optimised("ALL")],
        {"BiasGelu", "FusedMatMul", "SkipLayerNormalization"},
    ),
    "transformer-dynamic": (
        "transformer",
        [dynamic, optimised("ALL")],
        {"DynamicQuantizeMatMul", "Gelu"},
    ),
}


def saved(graph: str, steps: list[Any], folder: Path) -> ModelProto:
    """Return a graph after it went through some tools, each of which writes a file."""
    path = folder / "0.onnx"
    path.write_bytes(GRAPHS[graph][0]().SerializeToString())
    for number, step in enumerate(steps, start=1):
        step(path, path := folder / f"{number}.onnx")
    return ModelProto.FromString(path.read_bytes())


@pytest.mark.parametrize("name", SAVED)
def test_what_onnxruntime_quantises_and_saves_is_admitted(
    client: TestClient, tmp_path: Path, name: str
) -> None:
    graph, steps, own = SAVED[name]
    exported = saved(graph, steps, tmp_path)
    written = {each.op_type for each in exported.graph.node if each.domain == "com.microsoft"}
    assert own <= written, written
    put(client, name, exported)

    given = GRAPHS[graph][1]
    session = onnxruntime.InferenceSession(
        exported.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (wanted,) = session.run(None, {"x": given})
    assert np.allclose(values(client, name, given), wanted, atol=1e-5)


def test_a_layout_for_one_processor_is_refused_with_the_way_out(
    client: TestClient, tmp_path: Path
) -> None:
    exported = saved("network", [optimised("ALL")], tmp_path)
    if all(each.domain != "com.microsoft.nchwc" for each in exported.graph.node):
        pytest.skip("onnxruntime has no layout of its own for this processor")
    answer = client.put("/v1/models/laid-out", content=exported.SerializeToString())
    assert answer.status_code == 422
    message = answer.json()["errors"][0]["message"]
    assert message == (
        "com.microsoft.nchwc.Conv is for the layout of one kind of processor, on which onnxruntime "
        "saved the model; save it with graph_optimization_level ORT_ENABLE_EXTENDED, or send the "
        "model as it was before onnxruntime saved it"
    )
