"""The log of a service → what a model in its shadow would have answered, and which is better.

The log holds what was asked, so a shadow need not run in the service: it answers the same requests
from there, at any time, and no caller waits for it. Its answers are a table of their own.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from treeline.artifact import Prediction
from treeline.artifact.pickled import opened, predict
from treeline.config import Layout, read_params
from treeline.config.models import ModelSpec
from treeline.contest.incumbents import exported, fetched
from treeline.contest.live import Answered, Live, agreement, answers_of, judged, some
from treeline.contest.matching import by_name, check_classes
from treeline.contract.admission import admit
from treeline.contract.arrow import column_of
from treeline.contract.encoding import Matrix
from treeline.contract.features import Feature, Label, Target
from treeline.contract.signature import Signature
from treeline.delivery import releasing, repository, storage
from treeline.errors import ArtifactError, ComparisonError, ConfigError
from treeline.files import digest, write_json, write_text
from treeline.monitoring.alpha_spending import DAY_SECONDS
from treeline.monitoring.logs import LogQuery, PredictionLog, log_of
from treeline.monitoring.rows import Rows, joined, typed
from treeline.records.summary import read_summary
from treeline.records.training import read_training
from treeline.tables import write_frame

FOLDER = Path("build/shadow")
Times = tuple[float | None, float | None]  # since, until: seconds since 1970
HERE = "here"


@dataclass(frozen=True)
class Shadow:
    """A model that answers what was asked of another one, and from when on it may be judged by it.

    `predict` takes float32 codes of shape (n_rows, n_features). Rows from before `since`, in
    seconds since 1970, it may have learnt from.
    """

    version: str
    target: Target
    classes: tuple[Label, ...]
    features: Mapping[str, Feature]
    predict: Callable[[Matrix], Prediction]
    since: float


@dataclass(frozen=True)
class Contest:
    """Which shadow is set beside which commit, on which part of a log."""

    shadow: str
    base: str
    log: PredictionLog
    since: float | None
    until: float


def compare_live(
    models: Sequence[str], *, base: str, shadow: str, log: tuple[str, str], times: Times
) -> list[Live]:
    """Let a shadow answer what each named model was asked, or each of all, and judge both.

    `base` names the commit of the models in service; `shadow` is the version of a release, a
    commit, or HERE, the model that was trained here, refused or not. `log` is the URL of the log
    and the variable with its password or key. Writes build/shadow. Raises SourceError where the log
    cannot be read, ComparisonError where both cannot be compared.
    """
    since, until = times
    declared = read_params().models
    if unknown := [name for name in models if name not in declared]:
        raise ConfigError(f"{unknown[0]}: not declared; declared are {', '.join(declared)}")
    storage.shared()  # a version may have to be fetched from there
    base = releasing.incumbent() if base == releasing.RELEASED else base
    now = time.time() if until is None else until
    contest = Contest(shadow, base, log_of(*log), since, now)
    answers = []
    for name in models or declared:
        live, rows = look_at(declared[name], Layout(name), contest)
        write(live, rows)
        answers.append(live)
    return answers


def look_at(spec: ModelSpec, paths: Layout, contest: Contest) -> tuple[Live, Answered]:
    """Let a shadow answer what one model was asked, and judge both."""
    document = repository.shown(contest.base, paths.signature)
    if document is None:
        raise ComparisonError(
            f"{paths.name}: {contest.base} has no such model, so none is in service"
        )
    service = Signature.parse(document, place=f"{contest.base}: {paths.signature}")
    with tempfile.TemporaryDirectory() as folder:
        shadow = shadow_of(spec, paths, contest.shadow, folder=Path(folder))
        check(shadow, service)
        since = shadow.since if contest.since is None else contest.since
        query = LogQuery(paths.name, since, contest.until, since)
        parts = list(answered(contest.log, query, service, shadow, spec))
    rows = together(parts, service)
    look = 1 + max(0, int((contest.until - since) // DAY_SECONDS))
    comparison, notes = judged(spec, rows, look=look)
    if since < shadow.since:
        notes.append(
            "the shadow may have learnt from rows of before it was made; leave --since out"
        )
    live = Live(
        model=paths.name,
        service=service.version,
        shadow=shadow.version,
        since=since,
        rows=len(rows),
        known=rows.known,
        refused=rows.refused,
        agreement=agreement(rows),
        notes=tuple(notes),
        comparison=comparison,
    )
    return live, rows


def shadow_of(spec: ModelSpec, paths: Layout, named: str, *, folder: Path) -> Shadow:
    """Return the model that was trained here, or a released one; raises ConfigError for neither.

    One from a release is fetched into `folder`.
    """
    if named == HERE:
        return _trained_here(spec, paths)
    entry = releasing.chosen(named, unlisted=True)
    commit = entry.passed.get(paths.name)
    document = commit and repository.shown(commit, paths.signature)
    if not commit or not document:
        raise ConfigError(f"{paths.name}: {named} has no such model")
    model = fetched(paths, signature=document, base=commit, folder=folder)
    signature = model.signature
    return Shadow(
        version=signature.version,
        target=signature.target,
        classes=signature.classes,
        features=signature.features,
        predict=model.runtime.predict,
        since=float(repository.committed(commit)),
    )


def _trained_here(spec: ModelSpec, paths: Layout) -> Shadow:
    """Return the champion of the last training: judged, and refused or not."""
    if not paths.estimator.is_file() or not paths.training.is_file():
        raise ConfigError(
            f"{paths.name}: no model is trained here ({paths.estimator}); make repro, or name the "
            "version of a release by --shadow"
        )
    training = read_training(paths.training)
    estimator = opened(paths.estimator, digests=training.get("digests", {}))
    names = list(spec.features)
    return Shadow(
        version=_name_of(paths),
        target=spec.target,
        classes=tuple(read_summary(paths.summary)["target"].get("classes", ())),
        features=spec.features,
        predict=lambda matrix: predict(estimator, pd.DataFrame(matrix, columns=names)),
        since=paths.estimator.stat().st_mtime,
    )


def _name_of(paths: Layout) -> str:
    """Return the version of the model here; of one that is not exported, how its file begins."""
    try:
        return exported(paths).version
    except (ComparisonError, ArtifactError):
        return f"not exported, {digest(paths.estimator)[:12]}"


def check(shadow: Shadow, service: Signature) -> None:
    """Raise ComparisonError unless both answer one question, and the log has what both take."""
    check_classes(shadow, service)
    lost = [
        name
        for name, feature in shadow.features.items()
        if name not in service.features and not feature.optional
    ]
    if lost:
        raise ComparisonError(
            f"{service.name}: the model in service is not given {', '.join(lost)}, so the log has "
            "none of what the shadow takes; a person must decide"
        )


def answered(
    log: PredictionLog, query: LogQuery, service: Signature, shadow: Shadow, spec: ModelSpec
) -> Iterator[Answered]:
    """Yield what both answered, as the log gives it; raises SourceError and ComparisonError."""
    for chunk in log.chunks(query):
        logged = chunk.of_version(service.version)
        if len(logged.times):
            yield _both(typed(logged, service), service, shadow, spec)


def _both(rows: Rows, service: Signature, shadow: Shadow, spec: ModelSpec) -> Answered:
    columns = {
        name: column_of(_plain(rows.features[name], service.features[name]))
        for name in shadow.features
        if name in service.features
    }
    admission = admit(columns, shadow.features, n_rows=len(rows))
    place = np.flatnonzero(admission.counts() == 0)
    prediction = shadow.predict(admission.matrix[place]) if len(place) else None
    if prediction is not None:
        is_answer = usable(prediction)
        place = place[is_answer]
        prediction = by_name(some(prediction, np.flatnonzero(is_answer)), shadow, service)
    group = spec.split.group
    by = {} if group not in rows.features.column_names else {group: rows.features[group]}
    return Answered(
        times=rows.times[place],
        service=some(rows.answers, place),
        shadow=prediction or Prediction(),
        truth=rows.truth[place],
        is_known=rows.labelled[place],
        columns={str(name): column.to_numpy()[place] for name, column in by.items()},
        classes=service.classes,
        refused=len(rows) - len(place),
        strange=rows.strange,
    )


def usable(prediction: Prediction) -> Any:
    """Tell which rows got an answer, shape (n_rows,)."""
    numbers = prediction.values if prediction.scores is None else prediction.scores
    if numbers is None:
        return np.ones(len(np.asarray(prediction.labels)), np.bool_)
    finite = np.isfinite(np.asarray(numbers, np.float64))
    return finite if finite.ndim == 1 else finite.all(axis=1)


def _plain(column: pa.ChunkedArray, feature: Feature) -> pa.Array:
    """Return a column of the log in the type of its feature: the log's booleans come as texts."""
    if feature.kind.holds == "boolean":
        column = pc.equal(column, "true")
    return column.combine_chunks()


def together(parts: Sequence[Answered], service: Signature) -> Answered:
    """Return all parts as one; none of the log where there is none."""
    nothing = np.zeros(0)
    refused, strange = (
        sum(getattr(each, name) for each in parts) for name in ("refused", "strange")
    )
    there = [each for each in parts if len(each)]
    if not there:
        none, codes = Prediction(values=nothing), nothing.astype(np.int64)
        if service.classes:
            none = Prediction(labels=codes)
        return Answered(
            nothing, none, none, codes if service.classes else nothing,
            np.zeros(0, np.bool_), {}, service.classes, refused, strange,
        )  # fmt: skip
    return Answered(
        times=np.concatenate([each.times for each in there]),
        service=joined([each.service for each in there]),
        shadow=joined([each.shadow for each in there]),
        truth=np.concatenate([each.truth for each in there]),
        is_known=np.concatenate([each.is_known for each in there]),
        columns={
            name: np.concatenate([each.columns[name] for each in there])
            for name in there[0].columns
        },
        classes=service.classes,
        refused=refused,
        strange=strange,
    )


def write(live: Live, rows: Answered) -> None:
    """Write the answers of both, the record and its words, the words last."""
    write_frame(FOLDER / f"{live.model}.parquet", answers_of(rows))
    write_json(FOLDER / f"{live.model}.json", live.to_dict())
    write_text(FOLDER / f"{live.model}.md", live.to_text() + "\n")
