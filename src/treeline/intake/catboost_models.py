"""CatBoost's own files, and its estimators → a fitted model, and its graph by its own export."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import catboost
import onnx
from onnx import helper

from treeline.errors import ArtifactRejectedError, ExportError, first_line
from treeline.export.conversion import stamped
from treeline.intake import Said
from treeline.intake.labels import as_positions
from treeline.intake.models import FittedModel
from treeline.intake.networks import read_onnx

CLASSIFIES = ("CrossEntropy", "Logloss", "MultiClass", "MultiClassOneVsAll")
EXPONENTS = ("Poisson", "Tweedie")  # losses whose answer is the exponential of the sum of leaves


@dataclass(frozen=True)
class CatBoostModel(FittedModel):
    """A model of CatBoost that knows its columns, where they had names."""

    @property
    def names(self) -> tuple[str, ...] | None:
        """The columns that its file names."""
        names = tuple(self.estimator.feature_names_)
        return None if names == tuple(map(str, range(len(names)))) else names

    def graph(self, inputs: Sequence[tuple[str, str]]) -> onnx.ModelProto:
        """Return its graph over one matrix."""
        return tail(self.estimator)


def read_catboost(place: str, said: Said) -> CatBoostModel:
    """Open a model that CatBoost saved; raises ArtifactRejectedError."""
    plain = catboost.CatBoost()
    try:
        plain.load_model(place)
    except catboost.CatBoostError as error:
        reason = first_line(error)
        raise ArtifactRejectedError(f"{place}: not a model of CatBoost: {reason}") from error
    if texts := _not_numbers(plain):
        raise ArtifactRejectedError(
            f"{place}: {texts[0]!r} is a column of categories or texts, for which CatBoost writes "
            "no ONNX graph; fit the model on numbers, such as one-hot columns, or declare it as a "
            "candidate"
        )
    classifies = _loss(plain) in CLASSIFIES
    estimator = catboost.CatBoostClassifier() if classifies else catboost.CatBoostRegressor()
    estimator.load_model(place)
    return CatBoostModel(estimator)


def tail(estimator: Any) -> onnx.ModelProto:
    """Return the graph of a fitted estimator over its matrix; its labels are positions.

    Raises ExportError where CatBoost writes none.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        try:
            estimator.save_model(str(path), format="onnx")
        except catboost.CatBoostError as error:
            reason = first_line(error)
            raise ExportError(f"CatBoost writes no ONNX graph of it: {reason}") from error
        read = read_onnx(str(path), Said())
    graph = stamped(read.proto)
    if len(getattr(estimator, "classes_", ())):
        as_positions(graph.graph, read.labels)
    elif _loss(estimator) in EXPONENTS:
        (output,) = graph.graph.output
        node = helper.make_node("Exp", [output.name], ["treeline_exponential"])
        graph.graph.node.append(node)
        output.name = "treeline_exponential"
    return graph


def _loss(estimator: Any) -> str:
    """Return the name of the loss that it was fitted by, without its options."""
    return str(estimator.get_all_params().get("loss_function", "")).partition(":")[0]


def _not_numbers(estimator: Any) -> list[str]:
    names = estimator.feature_names_
    places = [*estimator.get_cat_feature_indices(), *estimator.get_text_feature_indices()]
    return [names[place] for place in [*places, *estimator.get_embedding_feature_indices()]]
