"""An event and the `on:` of a workflow → whether it starts it, by GitHub's rules. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.github.formats import matches, text_of

SKIPPING = re.compile(
    r"\[(skip ci|ci skip|no ci|skip actions|actions skip)\]|^skip-checks: *true$", re.MULTILINE
)
DEPENDABOT = "dependabot[bot]"
QUEUE = "gh-readonly-queue/"


@dataclass(frozen=True)
class Event:
    """Something that happened to a repository, and what GitHub knows of it.

    `message` is that of the head commit: for a pull request, of its branch and not of the merge.
    `files` are those that changed. `fork` says that the head is another repository's.
    """

    name: str
    ref: str
    sha: str
    message: str = ""
    files: tuple[str, ...] = ()
    base: str = ""  # the branch that a pull request or a merge group is for
    head: str = ""  # the branch of a pull request
    payload: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    actor: str = "octocat"
    fork: bool = False

    @property
    def short(self) -> str:
        """The ref without what all refs of its kind begin with."""
        return re.sub(r"^refs/(heads|tags|pull)/", "", self.ref)

    @property
    def is_tag(self) -> bool:
        return self.ref.startswith("refs/tags/")

    @property
    def by_dependabot(self) -> bool:
        """Whether Dependabot's own secrets are given in the place of the repository's."""
        return self.actor == DEPENDABOT and self.name in {"pull_request", "push"}


def triggers(on: Any) -> dict[str, Any]:
    """Return what starts a workflow, by the name of the event."""
    if isinstance(on, str):
        return {on: {}}
    names = dict.fromkeys(on) if isinstance(on, list) else on or {}
    return {name: value or {} for name, value in names.items()}


def why_not(on: Any, event: Event) -> str:
    """Return why an event does not start a workflow; nothing where it does."""
    known = triggers(on)
    if event.name not in known:
        return f"its `on:` has no {event.name}"
    if event.name in {"push", "pull_request"} and SKIPPING.search(event.message):
        return "the head commit says to skip CI"
    check = CHECKS.get(event.name)
    return check(known[event.name], event) if check else ""


def _push(trigger: Mapping[str, Any], event: Event) -> str:
    kind, other = ("tags", "branches") if event.is_tag else ("branches", "tags")
    named = trigger.keys() & {kind, f"{kind}-ignore"}
    if not named and trigger.keys() & {other, f"{other}-ignore"}:
        return f"filtered out: it names {other} only"
    return _refs(trigger, kind, event.short) or _paths(trigger, event)


def _pull_request(trigger: Mapping[str, Any], event: Event) -> str:
    kinds = trigger.get("types", ["opened", "synchronize", "reopened"])
    if event.payload.get("action", "synchronize") not in kinds:
        return "filtered out by types"
    return _refs(trigger, "branches", event.base) or _paths(trigger, event)


def _merge_group(trigger: Mapping[str, Any], event: Event) -> str:
    return _refs(trigger, "branches", event.base)


def _workflow_run(trigger: Mapping[str, Any], event: Event) -> str:
    run = event.payload["workflow_run"]
    if run["name"] not in trigger.get("workflows", ()):
        return "filtered out by workflows"
    if "completed" not in trigger.get("types", ["requested", "completed"]):
        return "filtered out by types"
    return _refs(trigger, "branches", run["head_branch"])


def _refs(trigger: Mapping[str, Any], kind: str, name: str) -> str:
    if kind in trigger and not matches(name, trigger[kind]):
        return f"filtered out by {kind}"
    if matches(name, trigger.get(f"{kind}-ignore", ())):
        return f"filtered out by {kind}-ignore"
    return ""


def _paths(trigger: Mapping[str, Any], event: Event) -> str:
    if event.is_tag:
        return ""  # paths are not looked at for tags
    if "paths" in trigger and not any(matches(each, trigger["paths"]) for each in event.files):
        return "filtered out by paths"
    ignored = trigger.get("paths-ignore")
    if ignored and event.files and all(matches(each, ignored) for each in event.files):
        return "filtered out by paths-ignore"
    return ""


CHECKS = {
    "push": _push,
    "pull_request": _pull_request,
    "merge_group": _merge_group,
    "workflow_run": _workflow_run,
}


def inputs_of(declared: Mapping[str, Any] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs of a run with their types and defaults.

    Raises ValueError where one is required and not given, or not among the options of a choice.
    """
    values: dict[str, Any] = {}
    for name, declaration in (declared or {}).items():
        how = declaration or {}
        value = given.get(name, how.get("default"))
        if how.get("required") and value in {None, ""}:
            raise ValueError(f"input {name} is required")
        if how.get("type") == "choice" and text_of(value) not in map(text_of, how["options"]):
            raise ValueError(f"input {name}: {value!r} is not among {how['options']}")
        values[name] = _typed(value, str(how.get("type", "string")))
    return values


def _typed(value: Any, kind: str) -> Any:
    if kind == "boolean":
        return text_of(value) == "true"
    if kind == "number" and value is not None:
        return float(value)
    return text_of(value)
