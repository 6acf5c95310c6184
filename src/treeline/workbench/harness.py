"""A class by its import path → what it keeps of what the pipeline needs, one finding each.

It is made, fitted and asked as the pipeline does it, on rows drawn from what features admit. That
nothing is seen to be wrong proves nothing of other rows.
"""

import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from treeline.artifact import Prediction
from treeline.artifact.onnx import OnnxRuntime
from treeline.artifact.pickled import pickled, predict
from treeline.config.models import Candidate
from treeline.config.own_metrics import is_metric
from treeline.contract.features import Feature, Task
from treeline.errors import ExportError, TreelineError, first_line
from treeline.export.conversion import converted, plain_bytes
from treeline.export.packaging import compared
from treeline.registry import load_class
from treeline.trainers.pipeline import build
from treeline.workbench.finding import Finding, held
from treeline.workbench.metrics import looked_at

ROWS = 200
SOME = 17  # rows that are asked by themselves
TOLERANCE = 1e-5
ESTIMATORS = {
    "regression": "sklearn.linear_model.Ridge",
    "binary": "sklearn.linear_model.LogisticRegression",
    "multiclass": "sklearn.linear_model.LogisticRegression",
}
USUAL = {
    "length": Feature(type="number", minimum=0, maximum=10),
    "weight": Feature(type="number"),
    "colour": Feature(type="category", categories=("red", "green", "blue")),
}


def examined(
    path: str, *, features: Mapping[str, Feature] | None = None, task: Task | None = None
) -> list[Finding]:
    """Look at an estimator, a preprocessor or a metric; raises UnknownNameError for none of them.

    Rows have `features`, or three usual ones; without `task` the class says what it predicts.
    """
    declared = load_class(path, place=path)
    if is_metric(declared):
        return looked_at(path, task=task)
    features = dict(features or USUAL)
    task = task or _task_of(declared)
    frame, target = drawn(features, task)
    steps = {"preprocessors": [path]} if hasattr(declared, "transform") else {}
    named = ESTIMATORS[task] if steps else path
    candidate = Candidate.model_validate({"estimator": named, **steps})
    findings: list[Finding] = []

    def make() -> Pipeline:
        return build(candidate, features, seed=0, place=path)

    for look in (_options, _learning):
        findings += _looked(look, make, frame, target)
        if any(each.word == "wrong" for each in findings):
            return findings
    for look in (_purity, _sameness, _travelling, _missing, _graph):
        findings += _looked(look, make, frame, target)
    return findings


def drawn(features: Mapping[str, Feature], task: Task) -> tuple[pd.DataFrame, NDArray[Any]]:
    """Return ROWS rows that features admit, float32, and a target that hangs on them."""
    chance = np.random.default_rng(0)
    columns = {}
    for name, feature in features.items():
        if feature.categories or feature.kind.holds == "boolean":
            column = chance.integers(0, len(feature.categories) or 2, ROWS).astype(np.float32)
        else:
            low = -3.0 if feature.minimum is None else feature.minimum
            high = low + 6 if feature.maximum is None else feature.maximum
            column = chance.uniform(low, high, ROWS).astype(np.float32)
            column = np.trunc(column) if feature.kind.whole else column
        columns[name] = column
    frame = pd.DataFrame(columns)
    ranks = frame.rank(pct=True).mean(axis=1).to_numpy() + chance.normal(0, 0.1, ROWS)
    if task == "regression":
        return frame, ranks
    classes = 2 if task == "binary" else 3
    edges = np.quantile(ranks, np.linspace(0, 1, classes + 1)[1:-1])
    return frame, np.searchsorted(edges, ranks).astype(np.int64)


Look = Callable[[Callable[[], Pipeline], pd.DataFrame, NDArray[Any]], Iterator[Finding]]


def _looked(
    look: Look, make: Callable[[], Pipeline], frame: pd.DataFrame, target: NDArray[Any]
) -> Iterator[Finding]:
    """Yield what a look finds, and as wrong whatever the class raises."""
    try:
        yield from look(make, frame.copy(), target.copy())
    except TreelineError as error:
        yield Finding("wrong", str(error))
    except Exception as error:  # whatever a class of one's own raises
        text = first_line(error)
        yield Finding("wrong", f"{look.__name__.strip('_')}: {type(error).__name__}: {text}")


def _task_of(declared: type) -> Task:
    classifies = hasattr(declared, "predict_proba") or hasattr(declared, "decision_function")
    kind = getattr(declared, "_estimator_type", "")
    named = any(base.__name__ == "ClassifierMixin" for base in declared.__mro__)
    return "binary" if classifies or named or kind == "classifier" else "regression"


def _options(
    make: Callable[[], Pipeline], frame: pd.DataFrame, target: NDArray[Any]
) -> Iterator[Finding]:
    made = make()
    try:
        same = str(clone(made).get_params()) == str(made.get_params())
    except RuntimeError:  # of scikit-learn, where an option is another one in the copy
        same = False
    yield held(
        same,
        "it is copied with its options",
        "a copy has other options; keep each argument of __init__ as it comes, under its own name",
    )


def _learning(
    make: Callable[[], Pipeline], frame: pd.DataFrame, target: NDArray[Any]
) -> Iterator[Finding]:
    prediction = predict(make().fit(frame, target), frame)
    answers = prediction.values if prediction.labels is None else prediction.labels
    assert answers is not None  # it predicts one of both
    yield held(
        np.asarray(answers).shape == (ROWS,),
        "it gives an answer for each row",
        f"predict gives {np.asarray(answers).shape} for {ROWS} rows; return shape (n_rows,)",
    )
    if np.issubdtype(target.dtype, np.integer):
        known = prediction.labels is not None and bool(np.isin(answers, target).all())
        yield held(
            known,
            "its answers are the codes that it was given",
            "predict gives what is no code of a class; set `classes_`, and return some of them",
        )
    if prediction.scores is not None:
        sums = np.asarray(prediction.scores).sum(axis=1)
        yield held(
            bool(np.allclose(sums, 1, atol=1e-5)),
            "its probabilities add up to 1",
            f"probabilities of a row add up to {sums.min():.3g} to {sums.max():.3g}, not to 1",
        )


def _purity(
    make: Callable[[], Pipeline], frame: pd.DataFrame, target: NDArray[Any]
) -> Iterator[Finding]:
    fitted = make().fit(frame, target)
    before = pickled(fitted)
    answer = predict(fitted, frame)
    yield held(
        _leaves_rows(fitted, frame),
        "it leaves the rows that it is given as they are",
        "it changes the rows that it is given; work on a copy",
    )
    yield held(
        pickled(fitted) == before,
        "asking it changes nothing of it",
        "predict changes the object; set what is learnt in fit alone",
    )
    some = predict(fitted, frame.iloc[:SOME])
    yield held(
        _alike(_some(answer, SOME), some),
        "a row has the same answer alone as among others",
        "a row has another answer among other rows; use what fit has learnt, not the rows asked",
    )


def _leaves_rows(fitted: Pipeline, frame: pd.DataFrame) -> bool:
    """Tell whether the class itself, beside the pipeline, changes no row that it is asked about."""
    if "preprocessor1" in fitted.named_steps:
        rows = fitted[0].transform(frame).copy()
        before = rows.copy()
        fitted.named_steps["preprocessor1"].transform(rows)
        return bool(rows.equals(before))
    matrix = np.array(fitted[:-1].transform(frame))
    before = matrix.copy()
    fitted[-1].predict(matrix)
    return bool(np.array_equal(matrix, before))


def _sameness(
    make: Callable[[], Pipeline], frame: pd.DataFrame, target: NDArray[Any]
) -> Iterator[Finding]:
    first, second = (make().fit(frame, target) for _ in range(2))
    yield held(
        _alike(predict(first, frame), predict(second, frame)) and pickled(first) == pickled(second),
        "it learns the same from the same rows",
        "it learns something else each time; take an option `random_state`, and use no clock",
    )


def _travelling(
    make: Callable[[], Pipeline], frame: pd.DataFrame, target: NDArray[Any]
) -> Iterator[Finding]:
    fitted = make().fit(frame, target)
    again = pickle.loads(pickled(fitted))
    yield held(
        _alike(predict(again, frame), predict(fitted, frame)),
        "it travels as a pickle",
        "it answers otherwise after a pickle; keep what predict needs in attributes",
    )


def _missing(
    make: Callable[[], Pipeline], frame: pd.DataFrame, target: NDArray[Any]
) -> Iterator[Finding]:
    rows = frame.copy()
    rows.iloc[::7, 0] = np.nan
    try:
        make().fit(rows, target).predict(rows)
    except Exception:  # which is what is to be known
        yield Finding(
            "note", "it takes no missing values: declare a `fill`, or put an imputer first"
        )
        return
    yield Finding("note", "it takes missing values")


def _graph(
    make: Callable[[], Pipeline], frame: pd.DataFrame, target: NDArray[Any]
) -> Iterator[Finding]:
    fitted = make().fit(frame, target)
    matrix = frame.to_numpy()
    try:
        graph = OnnxRuntime.load({"model.onnx": plain_bytes(converted(fitted))})
        parity = compared(predict(fitted, matrix), graph.predict(matrix), tolerance=TOLERANCE)
    except ExportError as error:
        yield Finding("note", f"it is served as a pickle: {error}")
        return
    good = not parity.labels_differing and parity.largest_difference <= TOLERANCE
    yield Finding(
        "note",
        "an ONNX graph repeats it"
        if good
        else "it is served as a pickle: its ONNX graph differs "
        f"by up to {parity.largest_difference:.2g}; is `plain` what it does?",
    )


def _some(prediction: Prediction, count: int) -> Prediction:
    parts = (prediction.labels, prediction.scores, prediction.values)
    return Prediction(*(None if part is None else np.asarray(part)[:count] for part in parts))


def _alike(one: Prediction, other: Prediction) -> bool:
    pairs = [(getattr(one, each), getattr(other, each)) for each in ("labels", "scores", "values")]
    return all(
        (mine is None and yours is None)
        or (
            mine is not None
            and yours is not None
            and np.allclose(mine, yours, rtol=1e-6, atol=1e-6)
        )
        for mine, yours in pairs
    )
