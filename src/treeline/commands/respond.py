"""The last look at the models → one issue for each that alarms, and a training where it can help.

What the looks have written to build/monitor is read, nothing is judged again.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from treeline.commands.monitor import FOLDER
from treeline.commands.stale import Sources, ask_sources
from treeline.config import read_params
from treeline.config.monitor import seconds_of
from treeline.delivery import actions, issues, notes, repository, storage
from treeline.errors import ConfigError, PublishingError
from treeline.monitoring.record import Record
from treeline.monitoring.responses import (
    UNREADABLE,
    Circumstances,
    Response,
    forgotten,
    mark_of,
    model_of,
    response_to,
    unreadable,
    wants_training,
)

PICTURES = "monitored"  # the branch that holds the pictures of reports
NO_REMOTE = "there is no shared remote to keep a model in"
TITLE = "The models in service cannot be monitored"


def respond() -> list[Response]:
    """Bring the issues up to date, and hand on whether a training is to be started.

    Where the log could not be read, one issue says so until it can. Raises ConfigError where no
    look has been taken, and DeliveryError where GitHub cannot be reached.
    """
    now, run = datetime.now(UTC), actions.run_page()
    looked = notes.read(notes.Monitored)
    if looked is None:
        raise ConfigError(f"{FOLDER}: no look has been taken; take one first: make monitor LOG=…")
    opened = issues.open_issues()
    if error := looked.error:
        actions.output(train="false")
        text = unreadable(error, now=now, run=run)
        issues.keep_issue(issues.marked(opened, UNREADABLE), title=TITLE, body=text)
        return []
    if earlier := issues.marked(opened, UNREADABLE):
        issues.edit_issue(earlier["number"], state="closed")
    models = read_params().models
    for row in opened:
        if (name := model_of(row["body"] or "")) and name not in models:
            issues.edit_issue(row["number"], body=forgotten(name, now=now), state="closed")
    records = [_record(name) for name in looked.models]
    wanted = [each.model for each in records if wants_training(each)]
    has_remote = storage.shared() is not None
    sources = ask_sources(wanted) if wanted and has_remote else Sources()
    closed = _closed(seconds_of(models[name].monitor.every) for name in wanted)
    pictures = _pictures(records)
    responses = []
    for record in records:
        name, own = record.model, issues.all_marked(opened, mark_of(record.model))
        response = response_to(
            record,
            Circumstances(
                earlier=own[0]["body"] if own else None,
                report=_report(name, pictures),
                stale=sources.reasons(name),
                every=models[name].monitor.every,
                now=now,
                run=run,
                obstacle=sources.obstacle(name) if has_remote else NO_REMOTE,
                closed=[each["body"] for each in issues.all_marked(closed, mark_of(name))],
            ),
        )
        _carry_out(response, own)
        responses.append(response)
    actions.output(train=str(any(each.train for each in responses)).lower())
    return responses


def _closed(spans: Iterable[float]) -> list[dict[str, Any]]:
    """Return the issues that were closed within the longest of spans of seconds."""
    longest = max(spans, default=0)
    if not longest:
        return []
    return issues.closed_issues(since=datetime.now(UTC) - timedelta(seconds=longest))


def _record(model: str) -> Record:
    """Return what the last look at a model has written."""
    return Record.model_validate_json((FOLDER / f"{model}.json").read_text(encoding="utf-8"))


def _pictures(records: Sequence[Record]) -> str:
    """Pin the pictures of reports to a commit, and return the address of its files.

    Empty where nothing alarms, or where this is no run of GitHub Actions.
    """
    if not actions.repository_page() or all(each.state != "alarm" for each in records):
        return ""
    before = f"refs/remotes/origin/{PICTURES}"
    repository.refresh(PICTURES, before)
    commit = repository.folder(
        FOLDER, message="Pictures of a look", after=repository.resolved(before)
    )
    if complaint := repository.push(f"{commit}:refs/heads/{PICTURES}"):
        raise PublishingError(f"the pictures could not be pushed to {PICTURES}:\n{complaint}")
    return f"{actions.repository_page()}/raw/{commit}"


def _report(model: str, pictures: str) -> str:
    """Return the report, with its pictures where they are pinned, and without them elsewhere."""
    lines = (FOLDER / f"{model}.md").read_text(encoding="utf-8").splitlines()
    if not pictures:
        return "\n".join(line for line in lines if not line.startswith("![]("))
    return "\n".join(line.replace("![](", f"![]({pictures}/") for line in lines)


def _carry_out(response: Response, own: Sequence[dict[str, Any]]) -> None:
    """Bring the issue of a model up to date; what more there are say the same, and are closed."""
    if response.change in ("open", "update"):
        issues.keep_issue(own[0] if own else None, title=response.title, body=response.text)
    elif response.change == "close" and own:
        issues.edit_issue(own[0]["number"], body=response.text, state="closed")
    for row in own[1:]:
        issues.edit_issue(row["number"], state="closed")
