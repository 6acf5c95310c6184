"""A metric of one's own: its number, and how much each row moves it.

Where it is a number for each row, the influence of a row is exact. Any other function of truth and
answers is asked again without a part of the rows, for each of at most GROUPS parts: the jackknife
that leaves out groups (Quenouille 1956, Efron 1982). Arrays that it is given can only be read.
Shapes: (n_rows,) for truth and answers, (n_rows, n_classes) for probabilities.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeline.config.metrics import Metric, metric_for
from treeline.config.own_metrics import is_path
from treeline.contract.features import Task
from treeline.errors import MetricError, TreelineError

GROUPS = 100  # so many deviations tell their own to 7 %: 1 / sqrt(2 (GROUPS - 1))

Array = NDArray[Any]


def value(name: str, metric: Metric, truth: Array, judged: Array) -> float:
    """Return the number; NaN where an `overall` is not defined. Raises MetricError."""
    if metric.by_row:
        return float(row_values(name, metric, truth, judged).mean())
    answer = _answer_of(name, metric.own.overall, truth, judged)
    try:
        number = float(answer)
    except (TypeError, ValueError) as error:
        raise MetricError(
            f"{name}: `overall` gives {type(answer).__name__}; return one number"
        ) from error
    return _held(name, metric, number)


def row_values(name: str, metric: Metric, truth: Array, judged: Array) -> Array:
    """Return the number of each row, float64 of shape (n_rows,). Raises MetricError."""
    answer = _answer_of(name, metric.own.per_row, truth, judged)
    try:
        numbers = np.asarray(answer, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise MetricError(
            f"{name}: `per_row` gives {type(answer).__name__}; return numbers, shape (n_rows,)"
        ) from error
    if numbers.shape != (len(truth),):
        raise MetricError(
            f"{name}: `per_row` gives shape {numbers.shape} for {len(truth):,} rows; return a "
            f"number for each, shape ({len(truth)},)"
        )
    strange = np.flatnonzero(~np.isfinite(numbers))
    if len(strange):
        row = int(strange[0])
        raise MetricError(
            f"{name}: `per_row` gives {numbers[row]} for a row of truth {truth[row]} that was "
            f"answered {_shown(judged[row])} ({len(strange):,} of {len(truth):,} rows); return a "
            "finite number for each"
        )
    _held(name, metric, float(numbers.mean()))
    return numbers


def influence(name: str, metric: Metric, truth: Array, judged: Array, groups: Array) -> Array:
    """Return the influence of each row, float64 of shape (n_rows,); their mean is about 0.

    `groups`, int64 of shape (n_rows,), says which rows an `overall` is asked without at once: those
    of a group share what they move it by. NaN where it is not defined without one of them.
    """
    if metric.by_row:
        numbers = row_values(name, metric, truth, judged)
        return np.asarray(numbers - numbers.mean())
    whole, n_rows = value(name, metric, truth, judged), len(truth)
    moves = np.empty(n_rows)
    for group in np.unique(groups):
        out = groups == group
        rest, size = ~out, int(out.sum())
        if size == n_rows:
            return np.full(n_rows, np.nan)
        without = value(name, metric, truth[rest], judged[rest])
        moves[out] = (whole - without) * (n_rows - size) / size
    return np.asarray(moves - moves.mean())


def check(names: Iterable[str], task: Task, truth: Array, classes: int, *, place: str) -> None:
    """Ask each metric of one's own about `truth` itself, before anything waits for its answer.

    `truth` has shape (n_rows,): codes of `classes` classes, or values. Raises UnknownNameError and
    MetricError, which name the place.
    """
    for name in filter(is_path, names):
        try:
            metric = metric_for(task, name)
            number = checked(name, metric, truth, perfect(metric, truth, classes))
            if np.isnan(number):
                raise MetricError(f"{name}: it is not a number where every answer is right")
        except TreelineError as error:
            raise type(error)(f"{place}: {error}") from error


def perfect(metric: Metric, truth: Array, classes: int) -> Array:
    """Return answers that are right for every row, as the metric takes them."""
    if metric.judges == "scores":
        return np.asarray(np.eye(classes)[truth])
    return np.array(truth)


def checked(name: str, metric: Metric, truth: Array, judged: Array) -> float:
    """Return the number of a metric that is asked twice; raises MetricError where it differs."""
    first, second = (value(name, metric, truth, judged) for _ in range(2))
    if first != second and not (np.isnan(first) and np.isnan(second)):
        raise MetricError(
            f"{name}: the same rows give {first!r} and then {second!r}; use no clock and no chance "
            "without a seed, and keep nothing from one call to the next"
        )
    return first


def _answer_of(name: str, method: Callable[..., Any], truth: Array, judged: Array) -> Any:
    try:
        return method(_readable(truth), _readable(judged))
    except Exception as error:  # whatever a class of one's own raises
        raise MetricError(f"{name}: {type(error).__name__}: {error}{_place_of(error)}") from error


def _readable(values: Array) -> Array:
    """Return the same values, which cannot be written into."""
    view = np.asarray(values).view()
    view.flags.writeable = False
    return view


def _place_of(error: BaseException) -> str:
    """Return where in its file a class of one's own raised, such as ` (metrics.py, line 12)`."""
    frame, place = error.__traceback__, ""
    frame = frame.tb_next if frame is not None else None  # beyond the call itself
    if frame is not None:
        code = frame.tb_frame.f_code
        file = code.co_filename.replace("\\", "/").rpartition("/")[2]
        place = f" ({file}, line {frame.tb_lineno})"
    return place


BOUNDS = {"share": (0.0, 1.0), "error": (0.0, np.inf), "explained": (-np.inf, 1.0)}
SLACK = 1e-9  # of rounding


def _held(name: str, metric: Metric, number: float) -> float:
    """Return the number; raises MetricError where it is infinite, or beyond its scale."""
    low, high = BOUNDS.get(metric.scale, (-np.inf, np.inf))
    if np.isinf(number):
        raise MetricError(f"{name}: it is {number}; return a finite number, or NaN where undefined")
    if number < low - SLACK or number > high + SLACK:
        raise MetricError(
            f"{name}: it is {number:g}, which its `scale` {metric.scale!r} does not admit; say "
            "another, or leave `scale` out"
        )
    return number if np.isnan(number) else min(max(number, low), high)


def _shown(answer: Any) -> str:
    return np.array2string(np.asarray(answer), precision=4, separator=", ")
