"""Trained models → the tracker that was chosen; which of its versions git holds.

The pipeline writes files and knows no tracker. What is recorded is made from them, whenever there
is something new: so it makes no difference to a training whether there is a tracker, and whether
its server lives. docs/tracking.md tells what is recorded, and when a version becomes the champion.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterable

from treeline.config import Layout, declared_model, read_params
from treeline.config.models import ModelSpec
from treeline.delivery import releasing, repository
from treeline.errors import ConfigError, TrackingError, TreelineError
from treeline.evaluation.gate import decided
from treeline.registry import resolve
from treeline.trackers import TRACKERS, Tracker, outbox
from treeline.trackers.addresses import URI
from treeline.trackers.record import Origin, Record, recorded, written

DEFAULT = "mlflow"
HEAD = "HEAD"


def chosen() -> str | None:
    """Return the tracker that is declared or that the environment asks for, None without one."""
    if os.environ.get(URI):
        return DEFAULT
    try:
        return read_params().tracker
    except ConfigError:
        return None  # whoever reads the models says what is wrong


def follow(models: Iterable[str] | None = None, *, pushed: str | None = None) -> None:
    """Record models, or all of them, if a tracker is chosen; what fails is told and harms nothing.

    `pushed` is the commit that holds them and was just accepted by the shared repository.
    """
    tracker = chosen()
    if tracker is None:
        return
    try:
        track(models, tracker=tracker, pushed=pushed)
    except TreelineError as error:
        print(f"track: {error}", file=sys.stderr, flush=True)


def track(
    models: Iterable[str] | None = None, *, tracker: str = DEFAULT, pushed: str | None = None
) -> None:
    """Record models, or all of them, and what waits from before; see `follow`.

    Raises TrackingError when the tracker is away or a model has nothing to be recorded, and
    MissingExtraError without the package of the tracker. What is complete is kept, what is not
    waits for the next call.
    """
    problems: list[str] = []
    with outbox.held():
        current = []
        for name in models or read_params().models:
            try:
                current.append(_posted(*declared_model(name)))
            except TrackingError as error:
                problems.append(str(error))
        try:
            _sent(current, tracker, pushed)
        except TreelineError as error:
            problems.append(str(error))
    if problems:
        raise TrackingError("\n".join(problems))


def _posted(spec: ModelSpec, paths: Layout) -> Record:
    outputs = written(spec, paths)
    decision = decided(
        spec, summary=outputs.summary, training=outputs.training, evaluation=outputs.evaluation
    )
    if decision.verdict != outputs.verdict:
        raise TrackingError(f"{paths.verdict}: not about {paths.evaluation}: make repro")
    record = recorded(outputs, _origin(paths))
    outbox.post(record, outputs)
    return record


def _origin(paths: Layout) -> Origin:
    """Return when the training was, by its files, and the commit that is checked out."""
    seconds = (
        json.loads(paths.seconds.read_text(encoding="utf-8")) if paths.seconds.exists() else {}
    )
    trained, judged = (
        path.stat().st_mtime_ns // 1_000_000 for path in (paths.training, paths.verdict)
    )
    return Origin(
        began=trained - round(1000 * sum(seconds.values())),
        ended=max(trained, judged),
        seconds=seconds,
        commit=repository.resolved(HEAD) or "",
    )


def _sent(current: list[Record], name: str, pushed: str | None) -> None:
    waiting = outbox.waiting()
    newest = {record.digest for record in current}
    try:
        tracker: Tracker = resolve(TRACKERS, name, place="tracker")()
        for record, files in waiting:
            outcomes = [tracker.record(record, files)]
            if record.exported and record.digest in newest:
                outcomes.append(_named(tracker, record, pushed))
            outbox.sent(files)
            print(f"track {record.model}: {', '.join(outcomes)}", flush=True)
    except TreelineError as error:
        waiting = outbox.waiting()
        raise TrackingError(
            f"{error}; not recorded yet: {', '.join(record.model for record, _ in waiting)}. "
            "It is kept, and recorded with the next training, or by `make track`"
        ) from error


def _named(tracker: Tracker, record: Record, pushed: str | None) -> str:
    """Name a version champion if git holds it, challenger if not.

    A checkout that is behind the commit of the champion does not take its name away.
    """
    commit = pushed or _head()
    if commit is None or not _holds(commit, record):
        return tracker.challenge(record)
    before = None if pushed else tracker.champion(record.model)
    if before and not repository.is_ancestor(before, commit):
        named = tracker.challenge(record)
        return f"{named} (the champion is of {before[:12]}, which {commit[:12]} does not follow)"
    return tracker.promote(record, commit=commit, statement=_statement(record) if pushed else "")


def _statement(record: Record) -> str:
    """Return the signed statement of the release that holds what was exported, if there is one."""
    releasing.RELEASES.refresh()
    entry = releasing.last()
    if entry is None or record.exported is None:
        return ""
    if entry.models.get(record.model) != record.exported.version:
        return ""
    return releasing.statement_of(entry) or ""


def _head() -> str | None:
    """Return the commit checked out, if it is one of main; elsewhere models are only proposed."""
    commit = repository.resolved(HEAD)
    return commit if commit and repository.branch() == releasing.MAIN else None


def _holds(commit: str, record: Record) -> bool:
    """Tell whether the signature of a commit is that of what was exported."""
    text = repository.shown(commit, Layout(record.model).signature)
    if text is None or record.exported is None:
        return False
    return hashlib.sha256(text.encode()).hexdigest() == record.exported.signature
