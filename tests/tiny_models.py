"""Hand-made models of a kilobyte, exported like real ones: no training, no estimator, no data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from treeline.artifact.onnx import SIGNATURE_KEY, OnnxRuntime
from treeline.artifact.store import SIGNATURE_FILE, scores_of
from treeline.contract.encoding import Encoder
from treeline.contract.features import Feature, Target, Value
from treeline.contract.signature import (
    Distribution,
    Example,
    Lineage,
    Parity,
    Signature,
    Verdict,
    version_of,
)
from treeline.files import digest, write_text

ARTIFACT = "artifact/model.onnx"
SOME_DIGEST = "0" * 64
Ending = tuple[list[NodeProto], list[ValueInfoProto]]


@dataclass(frozen=True)
class Recipe:
    """What a tiny model looks like from outside; inside, it is linear."""

    name: str
    target: Target
    features: dict[str, Feature]
    example: Mapping[str, Value | None]
    classes: tuple[Value, ...] = ()
    probabilities: bool = True
    default: bool = False
    description: str = ""
    weights: dict[str, float] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    key: str | None = None


SURVIVAL = Recipe(
    name="tree-survival",
    description="Will this seedling die before the season ends?",
    target=Target(name="Event", task="binary", positive=1.0, description="1 when it died"),
    classes=(0.0, 1.0),
    default=True,
    features={
        "Species": Feature(
            type="category",
            categories=("Acer saccharum", "Prunus serotina", "Quercus alba", "Quercus rubra"),
            description="species of the seedling",
        ),
        "Light_ISF": Feature(type="number", minimum=0, maximum=1, description="fraction of light"),
        "EMF": Feature(type="number", minimum=0, maximum=100, unit="% of root tips", fill=0),
        "Phenolics": Feature(type="number", nullable=True),
        "Leaves": Feature(type="integer", minimum=0),
        "Sterile": Feature(type="boolean", description="whether the soil was sterilised"),
    },
    example={
        "Species": "Prunus serotina",
        "Light_ISF": 0.25,
        "EMF": 12.5,
        "Phenolics": -1.5,
        "Leaves": 4.0,
        "Sterile": False,
    },
    weights={"Light_ISF": -4.0, "Species": 0.9, "EMF": -0.02, "Sterile": -0.5},
)

IRIS = Recipe(
    name="iris",
    description="Which species of iris is this flower?",
    target=Target(name="species", task="multiclass"),
    classes=("setosa", "versicolor", "virginica"),
    features={
        f"{part} (cm)": Feature(type="number", minimum=0, maximum=20, unit="cm")
        for part in ("sepal length", "sepal width", "petal length", "petal width")
    },
    example={
        "sepal length (cm)": 5.1,
        "sepal width (cm)": 3.5,
        "petal length (cm)": 1.4,
        "petal width (cm)": 0.2,
    },
    weights={"petal length (cm)": 0.4, "sepal width (cm)": -0.3},
)

DIABETES = Recipe(
    name="diabetes",
    description="How far will this patient's diabetes have progressed in a year?",
    target=Target(name="progression", task="regression", unit="points"),
    features={"age": Feature(type="number"), "bmi": Feature(type="number")},
    example={"age": 0.04, "bmi": 0.06},
    weights={"bmi": 900.0, "age": 10.0},
)


def write_model(root: Path, recipe: Recipe, **changed: object) -> Signature:
    """Export a recipe below `root`, as `<name>/artifact/model.onnx` and `<name>/signature.json`.

    Some of its signature may be changed.
    """
    graph = build_graph(recipe)
    signature = sign(graph, recipe, **changed)
    path = root / recipe.name / ARTIFACT
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(graph.SerializeToString())
    return commit(root, signature.model_copy(update={"files": {ARTIFACT: digest(path)}}))


def sign(graph: ModelProto, recipe: Recipe, **changed: object) -> Signature:
    """Put the signature of a recipe into a graph, with some of it changed, and return it."""
    unsigned = graph.SerializeToString()
    signature = describe(recipe, scores=try_out(recipe, unsigned), payload=unsigned)
    signature = signature.model_copy(update=changed)
    helper.set_model_props(graph, {SIGNATURE_KEY: signature.embedded()})
    return signature


def commit(root: Path, signature: Signature) -> Signature:
    """Write a signature where the store looks for it, whatever it says."""
    write_text(root / signature.name / SIGNATURE_FILE, signature.document())
    return signature


def describe(recipe: Recipe, *, scores: list[float], payload: bytes) -> Signature:
    """Return the signature of a recipe, without the digests of its files."""
    return Signature(
        name=recipe.name,
        version=version_of(payload, features=recipe.features, target=recipe.target),
        default=recipe.default,
        missing=recipe.missing,
        key=recipe.key,
        description=recipe.description,
        target=recipe.target,
        classes=recipe.classes,
        probabilities=recipe.probabilities and bool(recipe.classes),
        features=recipe.features,
        runtime="onnx",
        example=Example(record=dict(recipe.example), scores=tuple(scores)),
        metrics={"roc_auc": 0.9},
        verdict=Verdict(passed=True, reasons=("roc_auc 0.9 is above its floor of 0.8",)),
        parity=Parity(rows=1, largest_difference=0, tolerance=1e-4),
        lineage=Lineage(
            data={"train.parquet": SOME_DIGEST},
            params=SOME_DIGEST,
            code=SOME_DIGEST,
            libraries={"onnx": "1"},
            champion="linear",
            estimator="tests.tiny_models.Recipe",
            hyperparameters={},
        ),
        reference={name: Distribution(missing=0, shares=(1.0,)) for name in recipe.features},
    )


def try_out(recipe: Recipe, graph: bytes) -> list[float]:
    """Return what a graph makes of the example of its recipe."""
    matrix = Encoder(recipe.features).matrix([recipe.example])
    return scores_of(OnnxRuntime.load({"model.onnx": graph}).predict(matrix))


def build_graph(recipe: Recipe) -> ModelProto:
    """Return features → label and scores, or value: linear, a missing value counting as 0."""
    slopes = np.array([recipe.weights.get(name, 0) for name in recipe.features])
    columns = np.arange(len(recipe.classes)) if recipe.classes else np.ones(1)
    weights = np.outer(slopes, columns).astype(np.float32)
    nodes = [
        helper.make_node("IsNaN", ["features"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "features"], ["known"]),
        helper.make_node("MatMul", ["known", "weights"], ["linear"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(0, dtype=np.float32), "zero"),
        numpy_helper.from_array(weights, "weights"),
    ]
    inputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(weights)])]
    more, outputs = classifier(recipe) if recipe.classes else regression()
    graph = helper.make_graph([*nodes, *more], recipe.name, inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def classifier(recipe: Recipe) -> Ending:
    """Return the last nodes and the outputs of a model that tells classes apart."""
    nodes = [
        helper.make_node("Softmax", ["linear"], ["scores"], axis=1),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ]
    outputs = [helper.make_tensor_value_info("label", TensorProto.INT64, [None])]
    if recipe.probabilities:
        shape = [None, len(recipe.classes)]
        outputs.append(helper.make_tensor_value_info("scores", TensorProto.FLOAT, shape))
    return nodes, outputs


def regression() -> Ending:
    """Return the last node and the output of a model that gives a number."""
    nodes = [
        helper.make_node("Constant", [], ["column"], value_ints=[1]),
        helper.make_node("Squeeze", ["linear", "column"], ["value"]),
    ]
    return nodes, [helper.make_tensor_value_info("value", TensorProto.FLOAT, [None])]
