"""A graph beside the model that it was made of → whether both answer the same, on many rows."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from treeline.artifact import Prediction
from treeline.artifact.onnx import OnnxRuntime
from treeline.config.models import ModelSpec
from treeline.contract.encoding import Matrix
from treeline.contract.features import Feature, Label
from treeline.contract.signature import Parity
from treeline.errors import ExportError, first_line
from treeline.export.admitted import admitted
from treeline.export.packaging import compared
from treeline.intake.graphs import order_of
from treeline.intake.models import Model, place_of


def proved(
    model: Model,
    graph: bytes,
    matrix: Matrix,
    *,
    spec: ModelSpec,
    classes: Sequence[Label],
) -> Parity:
    """Return how closely a graph repeats its model; raises ExportError where it does not.

    `matrix` holds rows of a table, float32 of shape (n_rows, n_features); rows are made from some
    of them besides, as for an export, whose tolerance decides.
    """
    features, tolerance = spec.features, spec.export.tolerance
    made = admitted(matrix, features, splits={})
    rows = np.concatenate([matrix, made.matrix])
    frame = frame_of(rows, features)
    try:
        expected = _coded(model, model.predict(frame), classes)
    except ExportError:
        raise
    except Exception as error:  # whatever its library raises
        raise ExportError(
            f"the model has no answer to rows that the features admit: {type(error).__name__}: "
            f"{first_line(error)}"
        ) from error
    given = OnnxRuntime.load({"imported.onnx": graph}).predict(rows)
    parity = compared(expected, given, tolerance=tolerance)
    if parity.labels_differing or not parity.largest_difference <= tolerance:
        raise ExportError(
            f"the ONNX graph of it answers otherwise: by up to {parity.largest_difference:.2g} "
            f"({tolerance:g} is allowed), and in {parity.labels_differing} of {parity.rows} labels"
        )
    return parity.model_copy(update={"rows": len(matrix), "admitted_rows": len(made)})


def frame_of(matrix: Matrix, features: Mapping[str, Feature]) -> pd.DataFrame:
    """Return codes, float32 of shape (n_rows, n_features), as the frame that a model was fitted on.

    Categories are texts again, booleans true and false where none is missing, all else float32.
    """
    columns: dict[str, pd.Series] = {}
    for place, (name, feature) in enumerate(features.items()):
        column = matrix[:, place]
        if feature.categories:
            texts = dict(enumerate(feature.categories))
            columns[name] = pd.Series([texts.get(code, np.nan) for code in column], dtype="object")
        elif feature.kind.holds == "boolean" and not np.isnan(column).any():
            columns[name] = pd.Series(column.astype(bool))
        else:
            columns[name] = pd.Series(column)
    return pd.DataFrame(columns)


def _coded(model: Model, prediction: Prediction, classes: Sequence[Label]) -> Prediction:
    """Return an answer with codes of the declared classes, and scores in their order."""
    if not classes:
        return prediction
    assert prediction.labels is not None  # of classes
    known = model.classes or ()
    order = order_of(model, classes)
    codes = np.argsort(order)
    places = [place_of(each, known) for each in prediction.labels.tolist()]
    labels = np.array([-1 if place is None else codes[place] for place in places])
    scores = None if prediction.scores is None else prediction.scores[:, order]
    return Prediction(labels=labels, scores=scores)
