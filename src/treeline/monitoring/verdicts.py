"""A window, the signature and the evaluation of the model → the record of one look. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from treeline.config.models import ModelSpec
from treeline.config.monitor import Monitor, seconds_of
from treeline.contract.signature import Signature
from treeline.monitoring import quality
from treeline.monitoring.alpha_spending import DAY_SECONDS, Look, look
from treeline.monitoring.answers import NOTHING, TEST_ROWS, answered
from treeline.monitoring.estimates import estimated
from treeline.monitoring.inputs import Examined, Reference, examined
from treeline.monitoring.logs import LogQuery
from treeline.monitoring.record import (
    Ages,
    Column,
    Quality,
    Raised,
    Record,
    Seen,
    State,
)
from treeline.monitoring.two_samples import corrected
from treeline.monitoring.windows import Window

# Shares of the chance of a look: how inputs and answers are spread, values that are missing (few
# tests, which are worth one of their own), quality, calibration.
OF_SPREAD, OF_MISSING, OF_QUALITY, OF_CALIBRATION = 0.4, 0.2, 0.2, 0.2
MOST_DAYS = 14  # without a prediction that are named


@dataclass(frozen=True)
class Watched:
    """A model in service: its declaration, its contract, and its evaluation when it was trained."""

    spec: ModelSpec
    signature: Signature
    evaluation: Mapping[str, Any] = field(default_factory=dict)

    @property
    def monitor(self) -> Monitor:
        """What is declared of watching it."""
        return self.spec.monitor

    @property
    def slices(self) -> tuple[str, ...]:
        """The features by whose values quality is sliced."""
        if self.monitor.slices is not None:
            return self.monitor.slices
        return tuple(name for name, each in self.signature.features.items() if each.categories)

    @property
    def reference_rows(self) -> int:
        """How many rows the reference was made of."""
        learnt = self.signature.learnt
        return learnt.rows if learnt is not None else int(self.evaluation.get("rows", 0))

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics by which the declaration judges it: they alarm."""
        return (self.spec.champion.metric, *self.spec.gate.floor)

    def query(self, since: float | None, until: float) -> LogQuery:
        """Return what to read: the declared window before `until`, unless `since` is given."""
        start = until - seconds_of(self.monitor.window) if since is None else since
        reach = min(start, until - seconds_of(self.monitor.truths))
        return LogQuery(self.signature.name, start, until, reach)


@dataclass(frozen=True)
class Beside:
    """What is known beside the window: when the version answered first, with what to compare."""

    first: float | None = None
    answers: Mapping[str, Any] | None = None
    basis: str = ""
    ahead: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    ages: Ages = field(default_factory=Ages)


def judged(watched: Watched, query: LogQuery, window: Window, beside: Beside) -> Record:
    """Return what one look says; alarms need a difference that is no chance, and matters."""
    at = Look(1, 0.0) if beside.first is None else look(
        beside.first, query.until, false_alarms=watched.monitor.false_alarms
    )  # fmt: skip
    is_enough = window.rows >= watched.monitor.rows
    columns = _columns(watched, window)
    answers = _answers(watched, window, beside)
    inputs, outputs = _corrected(columns, answers)
    outcome = _quality(watched, window, beside)
    alarms = [
        *_at_once(columns),
        *(_of_columns("inputs", inputs, at.alpha) if is_enough else ()),
        *(_of_columns("answers", outputs, at.alpha) if is_enough else ()),
        *_of_quality(outcome, OF_QUALITY * at.alpha),
        *_of_calibration(outcome, OF_CALIBRATION * at.alpha),
    ]
    wanted = tuple(each for each in alarms if each.alarm in watched.monitor.alarms)
    state: State = "alarm" if wanted else "quiet" if is_enough else "too few rows"
    return Record(
        model=watched.signature.name,
        version=watched.signature.version,
        state=state,
        action=watched.monitor.action,
        seen=_seen(query, window, beside, at),
        alarms=wanted,
        inputs=tuple(inputs),
        answers=tuple(outputs),
        answers_basis=beside.basis or TEST_ROWS,
        quality=outcome,
        refused=dict(beside.refused),
        ages=beside.ages,
        notes=tuple(_notes(watched, window, beside)),
    )


def _columns(watched: Watched, window: Window) -> list[Examined]:
    signature, rows = watched.signature, watched.reference_rows
    return [
        examined(
            Reference(name, signature.features[name], signature.reference[name], rows),
            counts,
            effect=watched.monitor.effect,
        )
        for name, counts in window.features.items()
    ]


def _answers(watched: Watched, window: Window, beside: Beside) -> list[Column]:
    before = beside.answers if beside.answers is not None else watched.evaluation.get("answers")
    if window.answers is None or before is None or beside.basis == NOTHING:
        return []
    return answered(before, window.answers, watched.signature, effect=watched.monitor.effect)


def _corrected(columns: list[Examined], answers: list[Column]) -> tuple[list[Column], list[Column]]:
    """Correct the tests of all columns together."""
    every = [each.column for each in columns] + answers
    tests = iter(corrected([test for column in every for test in column.tests]))
    done = [
        column.model_copy(update={"tests": tuple(next(tests) for _ in column.tests)})
        for column in every
    ]
    return done[: len(columns)], done[len(columns) :]


def _at_once(columns: list[Examined]) -> Iterator[Raised]:
    for each in columns:
        for sort, text in each.broken:
            yield Raised(alarm="inputs", on=each.column.name, sort=sort, text=text)


def _of_columns(alarm: Any, columns: list[Column], alpha: float) -> Iterator[Raised]:
    for column in columns:
        for test in column.tests:
            share = OF_MISSING if test.sort == "missing" else OF_SPREAD
            if test.matters and test.corrected <= share * alpha:
                yield Raised(
                    alarm=alarm, on=column.name, sort=test.sort, text=test.text, p=test.corrected
                )


def _of_quality(outcome: Quality, alpha: float) -> Iterator[Raised]:
    for name, test in outcome.kept.items():
        if test.matters and test.corrected <= alpha:
            yield Raised(alarm="quality", on=name, sort=test.sort, text=test.text, p=test.corrected)


def _of_calibration(outcome: Quality, alpha: float) -> Iterator[Raised]:
    test = outcome.trusted
    if test is not None and test.matters and test.p <= alpha:
        yield Raised(
            alarm="calibration", on="what came true", sort=test.sort, text=test.text, p=test.p
        )


def _quality(watched: Watched, window: Window, beside: Beside) -> Quality:
    names = list(watched.spec.metrics)
    promise = quality.Promise.of(watched.evaluation, names)
    before = watched.evaluation.get("answers", {}).get("calibration")
    expected = {}
    if window.answers is not None:
        expected = estimated(window.answers, before)
    shown = {name: round(value, 6) for name, value in expected.items() if name in names}
    promised, of = dict(promise.metrics), window.rows
    labelled = window.labelled
    if labelled is None:
        return Quality(of=of, promised=promised, estimated=shown)
    tested = quality.promise_tests(
        quality.Promise.of(watched.evaluation, watched.metrics), labelled
    )
    tests = corrected([test for _, test in tested])
    return Quality(
        labelled=len(labelled),
        of=of,
        metrics=quality.measured(labelled.truth, labelled.answers, names),
        promised=promised,
        estimated=shown,
        cohorts=quality.cohorts(labelled, names),
        slices=quality.slices(labelled, [watched.spec.champion.metric]),
        bias=quality.selected(window),
        calibration=quality.calibrated(labelled),
        trusted=quality.trusted(before, labelled),
        kept={name: test for (name, _), test in zip(tested, tests, strict=True)},
    )


def _seen(query: LogQuery, window: Window, beside: Beside, at: Look) -> Seen:
    first = max(query.since, beside.first or query.since) // DAY_SECONDS
    days = range(int(first), int(query.until // DAY_SECONDS))
    without = [day for day in days if day not in window.days] if window.rows else []
    return Seen(
        since=query.since,
        until=query.until,
        first=beside.first,
        look=at.number,
        alpha=at.alpha,
        rows=window.rows,
        versions=dict(window.versions),
        ahead=beside.ahead,
        days_without=tuple(map(_date, without[:MOST_DAYS])),
    )


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * DAY_SECONDS, UTC).date().isoformat()


def _notes(watched: Watched, window: Window, beside: Beside) -> Iterator[str]:
    version = watched.signature.version
    others = sum(count for name, count in window.versions.items() if name != version)
    if window.rows < watched.monitor.rows:
        yield (
            f"{window.rows:,} rows of version {version} are in the window; "
            f"{watched.monitor.rows:,} are needed to tell a change from chance"
        )
    if others:
        yield f"{others:,} rows of the window are of other versions, and are not judged"
    if window.strange:
        yield f"{window.strange:,} rows have an answer that is none of this model, and are left out"
    if beside.ahead:
        yield f"{beside.ahead:,} predictions are of a time that has not come: a clock was ahead"
    if not watched.reference_rows:
        yield "the signature does not say of how many rows its reference is: train the model again"
    missing = [
        name for name in watched.signature.features if name not in watched.signature.reference
    ]
    if missing:
        yield f"the signature has no reference of {', '.join(missing)}: train the model again"
