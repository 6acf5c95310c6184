"""`evaluation.json`: what the evaluate stage says of a champion, and who reads it.

A key that is not required is one that not every
model has, or that earlier releases did not write.
"""

from pathlib import Path
from typing import NotRequired

from typing_extensions import TypedDict

from treeline.files import write_json
from treeline.records.reading import read_record


class Interval(TypedDict):
    """A figure and the ends of its 95 % interval, None where it has none; in the metric's unit."""

    value: float
    low: float | None
    high: float | None


Metrics = dict[str, Interval]  # by the name of the metric


class Judged(TypedDict):
    """Which rows were judged, by what, and what is independent among them.

    `by` is "test split" or "folds", `units` and `test_units` are words such as "18 groups of Plot",
    and `intervals` tells whether the units are enough for intervals.
    """

    by: str
    folds: int | None
    repeats: int
    units: str
    intervals: bool
    test_units: str


class Scored(TypedDict):
    """The metrics of both models, and the lead of the champion."""

    champion: Metrics
    baseline: Metrics
    advantage: dict[str, Metrics]
    rows: int
    judged: NotRequired[Judged]


class Slice(Interval):
    """The champion metric on the rows with one value of a column, and the lead there."""

    column: str
    slice: str
    rows: int
    baseline: float | None
    lead: Interval | None


class Calibration(TypedDict, total=False):
    """Of probabilities the first four, of values the others, all in the unit of the target."""

    ece: float
    reliability: float
    resolution: float
    uncertainty: float
    bias: float
    at_most: float
    slope: float


class Threshold(TypedDict):
    """What calling rows positive from a score on gives, as shares; `cost` is that of 100 rows."""

    threshold: float
    called: float
    precision: float | None
    recall: float | None
    cost: NotRequired[float]


class DeclaredCosts(TypedDict):
    """What one error of each kind costs."""

    false_alarm: float
    miss: float


class Thresholds(TypedDict):
    """A threshold for each tenth; with declared costs also the one that follows from them alone."""

    table: list[Threshold]
    costs: NotRequired[DeclaredCosts]
    of_costs: NotRequired[Threshold]
    cheapest: NotRequired[Threshold]


class Deciding(TypedDict):
    """What lets a person decide about a model."""

    slices: NotRequired[list[Slice]]
    calibration: NotRequired[Calibration | None]
    thresholds: NotRequired[Thresholds]


class Importance(TypedDict):
    """How much the champion metric worsens, in its unit, when a feature is shuffled."""

    feature: str
    loss: float
    deviation: float


class CurvePoint(TypedDict):
    """The champion metric after learning from some rows: mean and deviation over the draws."""

    rows: int
    value: float
    deviation: float


class LearningCurve(TypedDict):
    """The metric by the number of rows; None where the curve is too short to say more."""

    curve: list[CurvePoint]
    more_rows_help: bool | None


class Graph(TypedDict, total=False):
    """How closely an ONNX graph repeats the champion on the test rows, or why there is none."""

    rows: int
    largest_difference: float
    missing: str


class Diagnosed(TypedDict):
    """What asks a champion for more predictions, or for refits."""

    importances: list[Importance]
    learning_curve: NotRequired[LearningCurve]


class Graphed(TypedDict):
    """How a graph repeats the champion, where one is required."""

    graph: NotRequired[Graph]


class Gated(Scored, Graphed):
    """What the gate looks at."""


class ScoreCounts(TypedDict):
    """How many scores are in each bin; `counts` is one longer than `edges`."""

    edges: list[float]
    counts: list[int]


class ClassCalibration(TypedDict):
    """By bins of equal width of a probability: rows, their mean probability, how many came true."""

    rows: list[int]
    told: list[float]
    hits: list[int]


class ValueCalibration(TypedDict):
    """The mean error of values and its deviation, in the unit of the target."""

    rows: int
    bias: float
    deviation: float


class Answers(TypedDict):
    """How a model answers its test rows, as counts, with which a monitor compares a service."""

    rows: int
    labels: NotRequired[list[int]]
    scores: NotRequired[ScoreCounts]
    calibration: NotRequired[ClassCalibration | ValueCalibration]


class Evaluation(Gated, Deciding, Diagnosed):
    """The whole file."""

    answers: NotRequired[Answers]


def read_evaluation(path: Path) -> Evaluation:
    """Return what an evaluate stage wrote; raises FileNotFoundError and RecordError."""
    return read_record(path, Evaluation)


def write_evaluation(path: Path, document: Evaluation) -> None:
    """Write an evaluation, whole or not at all."""
    write_json(path, document)
