"""The log of a service → for each model a record, a report and pictures in build/monitor."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from treeline.config import Layout, read_params
from treeline.config.models import ModelSpec
from treeline.config.monitor import seconds_of
from treeline.contract.signature import Signature
from treeline.delivery import notes
from treeline.delivery.processes import attempt
from treeline.errors import ConfigError, DeliveryError, SourceError
from treeline.files import replacing_folder, write_text
from treeline.monitoring.alpha_spending import DAY_SECONDS
from treeline.monitoring.answers import FIRST_WINDOW, NOTHING, TEST_ROWS, of_window
from treeline.monitoring.logs import LogQuery, PredictionLog, log_of
from treeline.monitoring.pictures import charts_of
from treeline.monitoring.record import Ages, Record
from treeline.monitoring.report import report
from treeline.monitoring.verdicts import Beside, Watched, judged
from treeline.monitoring.windows import window
from treeline.plots.images import png
from treeline.records.evaluation import read_evaluation

FOLDER = Path("build/monitor")
ALARM = 3  # the exit code of a look that alarms


def monitor(
    models: Sequence[str], *, log: str, secret: str, since: float | None, until: float | None
) -> list[Record]:
    """Look at the named models, or all that are exported, and write down what is seen of each.

    `log` is the URL of the log's database or of the service, `secret` the variable with its
    password or key. Times are seconds since 1970; without `until` it is now. Raises SourceError
    where the log cannot be read, and ConfigError for a model that is not declared or not exported.
    """
    declared = read_params().models
    if unknown := [name for name in models if name not in declared]:
        raise ConfigError(f"{unknown[0]}: not declared; declared are {', '.join(declared)}")
    exported = [name for name in models or declared if Layout(name).signature.is_file()]
    if missing := [name for name in models if name not in exported]:
        raise ConfigError(f"{missing[0]}: is not exported here; fetch or train it: make repro")
    now = time.time() if until is None else until
    records = []
    try:
        opened = log_of(log, secret)
        for name in exported:
            watched, ages = watched_model(declared[name], Layout(name)), ages_of(name, now)
            records.append(look_at(watched, opened, since=since, until=now, ages=ages))
            write(records[-1], metric=declared[name].champion.metric, folder=FOLDER)
    except SourceError as error:
        notes.write(notes.Monitored([], error=str(error)))
        raise
    notes.write(notes.Monitored(exported))
    return records


def watched_model(spec: ModelSpec, paths: Layout) -> Watched:
    """Read what is known of an exported model."""
    signature = Signature.read(paths.signature)
    if not paths.evaluation.is_file():
        return Watched(spec, signature)
    return Watched(spec, signature, read_evaluation(paths.evaluation))


def look_at(
    watched: Watched,
    log: PredictionLog,
    *,
    since: float | None,
    until: float,
    ages: Ages | None = None,
) -> Record:
    """Read one window of a log, and judge it."""
    signature, query = watched.signature, watched.query(since, until)
    first = _first(log, signature, ages or Ages(), until)
    seen = window(log.chunks(query), signature, query, slices=watched.slices)
    answers, basis = _answers_before(watched, log, query, first)
    beside = Beside(
        first=first,
        answers=answers,
        basis=basis,
        ahead=log.ahead(query),
        refused=log.refused(signature.name),
        ages=ages or Ages(),
    )
    return judged(watched, query, seen, beside)


def _first(log: PredictionLog, signature: Signature, ages: Ages, until: float) -> float | None:
    """Return when a version answered first, None where it never did.

    Not before it was committed: what is earlier is of a clock that was behind, and would make the
    version so old that hardly anything may alarm.
    """
    first = log.first(signature.name, signature.version)
    if first is None or ages.model_days is None:
        return first
    return max(first, min(until, until - ages.model_days * DAY_SECONDS))


def _answers_before(
    watched: Watched, log: PredictionLog, query: LogQuery, first: float | None
) -> tuple[dict[str, Any] | None, str]:
    """Return what answers are compared with: the test rows, or the first window of the version."""
    if "answers" in watched.evaluation:
        return watched.evaluation["answers"], TEST_ROWS
    length = seconds_of(watched.monitor.window)
    if first is None or first + length > query.since:
        return None, NOTHING
    earlier = LogQuery(query.model, first, first + length, first)
    signature = watched.signature
    seen = window(log.chunks(earlier), signature, earlier, slices=())
    if seen.answers is None:
        return None, NOTHING
    return of_window(seen.answers, len(signature.classes)), FIRST_WINDOW


def ages_of(name: str, now: float) -> Ages:
    """Return for how long a model and its data are in git, as far as git here goes back."""
    paths = Layout(name)
    return Ages(model_days=_days(paths.signature, now), data_days=_days(paths.summary, now))


def _days(path: Path, now: float) -> float | None:
    try:
        done = attempt("git", "log", "-1", "--format=%ct", "--", str(path))
    except DeliveryError:
        return None
    seconds = done.stdout.strip()
    return round((now - int(seconds)) / DAY_SECONDS, 2) if seconds.isdigit() else None


def write(record: Record, *, metric: str, folder: Path) -> None:
    """Write the record, its pictures and its report, the report last."""
    charts = list(charts_of(record, metric=metric))
    with replacing_folder(folder / record.model) as draft:
        for chart in charts:
            (draft / f"{chart.name}.png").write_bytes(png(chart))
    text = json.dumps(record.model_dump(mode="json"), indent=2, ensure_ascii=False)
    write_text(folder / f"{record.model}.json", text + "\n")
    pictures = [f"{record.model}/{chart.name}.png" for chart in charts]
    write_text(folder / f"{record.model}.md", report(record, pictures))
