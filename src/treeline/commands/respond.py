"""The last look at the models → one issue for each that alarms, and a training where it can help.

What the looks have written to build/monitor is read, nothing is judged again.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from treeline.commands.monitor import FOLDER
from treeline.commands.stale import reasons_to_train
from treeline.config import read_params
from treeline.delivery import actions, issues, notes, repository
from treeline.errors import ConfigError, PublishingError
from treeline.monitoring.record import Record
from treeline.monitoring.responses import (
    UNREADABLE,
    Circumstances,
    Response,
    mark_of,
    response_to,
    unreadable,
    wants_training,
)

PICTURES = "monitored"  # the branch that holds the pictures of reports
TITLE = "The models in service cannot be monitored"


def respond() -> list[Response]:
    """Bring the issues up to date, and hand on whether a training is to be started.

    Where the log could not be read, one issue says so until it can. Raises ConfigError where no
    look has been taken, and DeliveryError where GitHub cannot be reached.
    """
    now, run = datetime.now(UTC), actions.run_page()
    looked = notes.read(notes.MONITORED)
    if not looked:
        raise ConfigError(f"{FOLDER}: no look has been taken; take one first: make monitor LOG=…")
    opened = issues.open_issues()
    if error := looked["error"]:
        actions.output(train="false")
        text = unreadable(error, now=now, run=run)
        issues.keep_issue(issues.marked(opened, UNREADABLE), title=TITLE, body=text)
        return []
    if earlier := issues.marked(opened, UNREADABLE):
        issues.edit_issue(earlier["number"], state="closed")
    models = read_params().models
    records = [_record(name) for name in looked["models"]]
    stale = reasons_to_train() if wants_training(records) else []
    pictures = _pictures(records)
    responses = []
    for record in records:
        earlier = issues.marked(opened, mark_of(record.model))
        response = response_to(
            record,
            Circumstances(
                earlier=earlier["body"] if earlier else None,
                report=_report(record.model, pictures),
                stale=[each for each in stale if f"@{record.model} " in each],
                every=models[record.model].monitor.every,
                now=now,
                run=run,
            ),
        )
        _carry_out(response, earlier)
        responses.append(response)
    actions.output(train=str(any(each.train for each in responses)).lower())
    return responses


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


def _carry_out(response: Response, earlier: dict[str, Any] | None) -> None:
    if response.change in ("open", "update"):
        issues.keep_issue(earlier, title=response.title, body=response.text)
    elif response.change == "close" and earlier is not None:
        issues.edit_issue(earlier["number"], body=response.text, state="closed")
