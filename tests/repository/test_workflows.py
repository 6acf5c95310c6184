"""The workflows and actions below .github keep the rules that no linter knows."""

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, SingleQuotedScalarString

from tests.repository.test_workshop import ROOT, tasks

GITHUB = ROOT / ".github"
EXPECTED = {
    "deploy.yml",
    "monitor.yml",
    "replay.yml",
    "retrain.yml",
    "review.yml",
    "test.yml",
    "train.yml",
}
QUOTED = (DoubleQuotedScalarString, SingleQuotedScalarString)

of_a_language = re.compile(
    r"(^|[-_])(versions?|python|node|java|go|ruby|rust|uv)($|[-_])", re.IGNORECASE
)
pinned = re.compile(r"(?P<action>[\w.-]+/[\w.-]+)(/[\w./-]+)?@(?P<commit>[0-9a-f]{40})")
of_the_matrix = re.compile(r"\$\{\{ *matrix\.([\w-]+) *\}\}")
with_a_version = re.compile(
    r"(\$\{\{ vars\.[A-Z_]+ \|\| ')?[a-z]+-\d[\d.]*(-[a-z0-9]+)?(?(1)' \}\})"
)
more_than_a_command = re.compile(r"[;&|<>`\n]|\$\(")
setting = re.compile(r"[A-Z_]+=.*", re.DOTALL)


@dataclass(frozen=True)
class Document:
    """A workflow or a composite action: its text, and what YAML makes of it."""

    text: str

    @cached_property
    def content(self) -> dict[str, Any]:
        """The parsed document, in which a quoted scalar can be told from a bare one."""
        yaml = YAML()
        yaml.preserve_quotes = True
        parsed: dict[str, Any] = yaml.load(self.text)
        return parsed

    @property
    def jobs(self) -> dict[str, Any]:
        """Return the jobs by name; an action has none."""
        jobs: dict[str, Any] = self.content.get("jobs", {})
        return jobs

    @property
    def steps(self) -> list[dict[str, Any]]:
        """Return the steps of all jobs, or of the action."""
        holders = [*self.jobs.values(), self.content.get("runs", {})]
        return [step for holder in holders for step in holder.get("steps", ())]

    @property
    def runs(self) -> list[str]:
        """Return what the steps run."""
        return [step["run"] for step in self.steps if "run" in step]

    @property
    def uses(self) -> list[str]:
        """Return the actions and workflows of others that this one uses."""
        users = [*self.jobs.values(), *self.steps]
        used = [user["uses"] for user in users if "uses" in user]
        return [name for name in used if not name.startswith("./")]

    @property
    def pins(self) -> dict[str, set[str]]:
        """Return the pins by action, each with the comment behind it."""
        found: dict[str, set[str]] = {}
        for name in self.uses:
            for behind in self.behind(name):
                action, _, pin = name.partition("@")
                repository = "/".join(action.split("/")[:2])
                found.setdefault(repository, set()).add(f"{pin}{behind}")
        return found

    @property
    def triggers(self) -> dict[str, Any]:
        """Return what starts the workflow, by the name of the event."""
        on = self.content.get("on", {})
        return on if isinstance(on, dict) else dict.fromkeys([on] if isinstance(on, str) else on)

    def behind(self, name: str) -> list[str]:
        """Return what stands behind each use of an action on its line."""
        return re.findall(rf"\buses: *[\"']?{re.escape(name)}[\"']?(?![^\s])(.*)$", self.text, re.M)


# --- the rules: each returns what breaks it -------------------------------------------------------


def unlimited_jobs(document: Document) -> list[str]:
    return [
        name
        for name, job in document.jobs.items()
        if "steps" in job and not isinstance(job.get("timeout-minutes"), int)
    ]


def unfounded_permissions(document: Document) -> list[str]:
    jobs = document.jobs.items()
    loose = [name for name, job in jobs if not isinstance(job.get("permissions"), dict)]
    top = document.content.get("permissions")
    return loose if isinstance(top, dict) and not top else ["the workflow itself", *loose]


def bare_versions(document: Document) -> list[str]:
    def scalars(node: Any, *, inside: bool) -> Iterator[Any]:
        if isinstance(node, dict):
            for key, value in node.items():
                yield from scalars(value, inside=inside or bool(of_a_language.search(str(key))))
        elif isinstance(node, list):
            for value in node:
                yield from scalars(value, inside=inside)
        elif inside and not isinstance(node, bool):
            yield node

    found = scalars(document.content, inside=False)
    return [str(each) for each in found if str(each)[:1].isdigit() and not isinstance(each, QUOTED)]


def unpinned_actions(document: Document) -> list[str]:
    return [
        name
        for name in document.uses
        if not pinned.fullmatch(name)
        or not all(re.fullmatch(r" +# v\d+\.\d+\.\d+", end) for end in document.behind(name))
        or not document.behind(name)
    ]


def actions_with_several_pins(documents: list[Document]) -> list[str]:
    pins: dict[str, set[str]] = {}
    for document in documents:
        for action, found in document.pins.items():
            pins.setdefault(action, set()).update(" ".join(pin.split()) for pin in found)
    return [action for action, found in pins.items() if len(found) > 1]


def kept_credentials(document: Document) -> list[str]:
    checkouts = [
        step for step in document.steps if step.get("uses", "").startswith("actions/checkout@")
    ]
    return [
        step["uses"]
        for step in checkouts
        if step.get("with", {}).get("persist-credentials") is not False
    ]


def lines_other_than_make(document: Document) -> list[str]:
    return [line for line in document.runs if not makes(line.strip())]


def makes(line: str) -> bool:
    """Tell whether a line is `make`, tasks that exist, and settings for them."""
    if more_than_a_command.search(line):
        return False
    command, *words = shlex.split(line) or [""]
    asked = [word for word in words if not setting.fullmatch(word)]
    return command == "make" and bool(asked) and set(asked) <= tasks()


def expressions_in_commands(document: Document) -> list[str]:
    return [line for line in document.runs if "${{" in line]


def unversioned_runners(document: Document) -> list[str]:
    named = [label for job in document.jobs.values() if "steps" in job for label in runners(job)]
    return [label for label in named if not with_a_version.fullmatch(label)]


def runners(job: dict[str, Any]) -> list[str]:
    """Return the machines that a job runs on; those of a matrix one by one."""
    named = job.get("runs-on", "")
    labels = [named] if isinstance(named, str) else list(named)
    matrix = job.get("strategy", {}).get("matrix", {})
    found: list[str] = []
    for label in labels:
        axis = of_the_matrix.fullmatch(label)
        found += matrix.get(axis[1], [label]) if axis else [label]
    return found


def shared_schedules(document: Document) -> list[str]:
    if "schedule" not in document.triggers:
        return []
    others = [name for name in document.triggers if name != "schedule"]
    minutes = [entry["cron"].split()[0] for entry in document.triggers["schedule"]]
    return others + [
        f"minute {minute}" for minute in minutes if not re.fullmatch(r"[1-9]|[1-5]\d", minute)
    ]


def inherited_secrets(document: Document) -> list[str]:
    return [name for name, job in document.jobs.items() if job.get("secrets") == "inherit"]


def lost_links(documents: list[Document]) -> list[str]:
    names = {document.content.get("name") for document in documents}
    links = [(document.triggers.get("workflow_run") or {}) for document in documents]
    return [name for link in links for name in link.get("workflows", ()) if name not in names]


# --- what is there keeps them ---------------------------------------------------------------------


def found(pattern: str) -> list[Path]:
    return sorted(GITHUB.glob(pattern))


WORKFLOWS = found("workflows/*")
FILES = [*WORKFLOWS, *found("actions/*/action.*")]

each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
each_file = pytest.mark.parametrize(
    "path", FILES, ids=lambda path: str(path.relative_to(GITHUB).with_suffix(""))
)


def read(path: Path) -> Document:
    return Document(path.read_text())


def test_every_workflow_that_the_project_lives_by_is_there() -> None:
    assert EXPECTED - {path.name for path in WORKFLOWS} == set()


@each_file
def test_a_file_bears_the_name_under_which_the_linters_look_for_it(path: Path) -> None:
    assert path.suffix == ".yml"


@each_workflow
def test_a_job_that_runs_steps_ends_in_bounded_time(path: Path) -> None:
    assert unlimited_jobs(read(path)) == []


@each_workflow
def test_a_workflow_may_do_nothing_and_each_job_what_it_says(path: Path) -> None:
    assert unfounded_permissions(read(path)) == []


@each_file
def test_the_version_of_a_language_is_a_quoted_string(path: Path) -> None:
    assert bare_versions(read(path)) == [], "3.10 is the number 3.1"


@each_file
def test_a_foreign_action_is_pinned_by_commit_with_its_version_behind(path: Path) -> None:
    assert unpinned_actions(read(path)) == []


def test_an_action_has_the_same_pin_everywhere() -> None:
    assert actions_with_several_pins([read(path) for path in FILES]) == []


@each_file
def test_a_checkout_keeps_no_credentials(path: Path) -> None:
    assert kept_credentials(read(path)) == []


@each_file
def test_what_a_step_runs_is_one_task_of_the_makefile(path: Path) -> None:
    assert lines_other_than_make(read(path)) == []


@each_file
def test_no_expression_is_pasted_into_a_command(path: Path) -> None:
    assert expressions_in_commands(read(path)) == [], "hand it over by `env`"


@each_workflow
def test_a_job_names_the_version_of_its_machine(path: Path) -> None:
    assert unversioned_runners(read(path)) == []


@each_workflow
def test_a_schedule_has_a_file_of_its_own_and_an_odd_minute(path: Path) -> None:
    assert shared_schedules(read(path)) == [], "idle schedules are disabled, their file with them"


@each_workflow
def test_secrets_are_handed_over_by_name(path: Path) -> None:
    assert inherited_secrets(read(path)) == []


def test_a_workflow_that_follows_another_names_one_that_exists() -> None:
    assert lost_links([read(path) for path in WORKFLOWS]) == []


# --- the rules see what they are for --------------------------------------------------------------


REMOTE = "./.github/actions/remote"
READS_ONLY = re.compile(r"\$\{\{ (secrets|vars)\.DVC_READ_")
OF_THE_REMOTE = re.compile(r"(secrets|vars)\.(AWS_\w*(KEY|TOKEN|ROLE)|GDRIVE_|AZURE_|GOOGLE_)")


def credentials(path: Path) -> list[tuple[str, dict[str, str]]]:
    """Return the steps of a workflow that hand on credentials: their names and their inputs."""
    return [
        (step["name"], step["with"]) for step in read(path).steps if step.get("uses", "") == REMOTE
    ]


def test_credentials_of_the_remote_are_handed_on_by_one_action() -> None:
    elsewhere = [
        (path.name, step.get("name"), value)
        for path in WORKFLOWS
        for step in read(path).steps
        if step.get("uses", "") != REMOTE
        for value in {**step.get("env", {}), **step.get("with", {})}.values()
        if OF_THE_REMOTE.search(str(value))
    ]
    assert elsewhere == []


def test_a_key_that_writes_is_given_only_where_models_are_stored() -> None:
    writing = {
        (path.name, name)
        for path in WORKFLOWS
        for name, given in credentials(path)
        for value in given.values()
        if OF_THE_REMOTE.search(value) and not READS_ONLY.match(value)
    }
    assert writing == {("train.yml", "Credentials that write to the remote")}
    names = [step.get("name") for step in read(GITHUB / "workflows" / "train.yml").steps]
    place = names.index("Credentials that write to the remote")
    assert names[place + 1] == "Store, commit and release"


def test_what_may_wait_is_queued() -> None:
    waiting = {
        job["concurrency"]["group"]: job["concurrency"].get("queue")
        for path in WORKFLOWS
        for job in read(path).jobs.values()
        if "concurrency" in job
    }
    assert waiting == {"train-${{ github.ref }}": "max", "deploy": "max"}


COMMIT = "0123456789abcdef0123456789abcdef01234567"

SOUND = f"""\
name: sound
on:
  schedule:
    - cron: "17 3 * * 1"
permissions: {{}}
jobs:
  work:
    runs-on: ${{{{ matrix.machine }}}}
    timeout-minutes: 10
    permissions: {{contents: read}}
    strategy:
      matrix:
        machine: [ubuntu-24.04, ubuntu-24.04-arm]
        python: ["3.11", '3.14']
    steps:
      - uses: actions/checkout@{COMMIT} # v7.0.1
        with:
          persist-credentials: false
      - uses: some/action/part@{COMMIT} # v1.2.3
        with:
          python-version: ${{{{ matrix.python }}}}
      - uses: ./.github/actions/ours
      - run: make check test ARGS="-k $CHOICE" PORT=8001
  call:
    permissions: {{}}
    uses: ./.github/workflows/other.yml
    secrets:
      token: ${{{{ secrets.TOKEN }}}}
"""

FOLLOWER = """\
on:
  workflow_run:
    workflows: [sound]
"""

ACTION = f"""\
name: ours
runs:
  using: composite
  steps:
    - uses: actions/checkout@{COMMIT} # v7.0.1
      with: {{persist-credentials: false}}
    - run: make setup
      shell: bash
"""

Rule = Callable[[Document], list[str]]
RULES: list[Rule] = [
    unlimited_jobs,
    unfounded_permissions,
    bare_versions,
    unpinned_actions,
    kept_credentials,
    lines_other_than_make,
    expressions_in_commands,
    unversioned_runners,
    shared_schedules,
    inherited_secrets,
]
OF_FILES: list[Rule] = [
    bare_versions,
    unpinned_actions,
    kept_credentials,
    lines_other_than_make,
    expressions_in_commands,
]


def seeded(old: str, new: str, text: str = SOUND) -> Document:
    assert old in text
    return Document(text.replace(old, new, 1))


def name_of(value: Any) -> str | None:
    return value.__name__ if callable(value) else None


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_a_sound_workflow_breaks_no_rule(rule: Rule) -> None:
    assert rule(Document(SOUND)) == []


@pytest.mark.parametrize("rule", OF_FILES, ids=name_of)
def test_a_sound_action_breaks_no_rule(rule: Rule) -> None:
    assert rule(Document(ACTION)) == []


@pytest.mark.parametrize(
    ("rule", "old", "new"),
    [
        (unlimited_jobs, "    timeout-minutes: 10\n", ""),
        (unlimited_jobs, "timeout-minutes: 10", "timeout-minutes: '10'"),
        (unfounded_permissions, "permissions: {}\njobs", "jobs"),
        (unfounded_permissions, "permissions: {}\njobs", "permissions:\njobs"),
        (unfounded_permissions, "permissions: {}\njobs", "permissions: {contents: read}\njobs"),
        (unfounded_permissions, "    permissions: {contents: read}\n", ""),
        (unfounded_permissions, "permissions: {contents: read}", "permissions: write-all"),
        (unfounded_permissions, "    permissions: {}\n    uses", "    uses"),
        (bare_versions, '"3.11"', "3.10"),
        (bare_versions, '"3.11"', "3"),
        (bare_versions, '"3.11"', "3.11.4"),
        (bare_versions, "${{ matrix.python }}", "3.11"),
        (unpinned_actions, f"checkout@{COMMIT} # v7.0.1", "checkout@v7 # v7.0.1"),
        (unpinned_actions, f"checkout@{COMMIT} # v7.0.1", "checkout@main"),
        (unpinned_actions, f"checkout@{COMMIT}", f"checkout@{COMMIT[:-1]}"),
        (unpinned_actions, " # v7.0.1", ""),
        (unpinned_actions, " # v7.0.1", " # v7"),
        (unpinned_actions, " # v1.2.3", " # the newest"),
        (unpinned_actions, "./.github/workflows/other.yml", "other/repository/a.yml@v1"),
        (unpinned_actions, f"some/action/part@{COMMIT}", "docker://alpine:3"),
        (kept_credentials, "persist-credentials: false", "persist-credentials: true"),
        (kept_credentials, "persist-credentials: false", "fetch-depth: 1"),
        (kept_credentials, "        with:\n          persist-credentials: false\n", ""),
        (lines_other_than_make, "run: make check", "run: python -m pytest && make check"),
        (lines_other_than_make, "make check test", "make check; make test"),
        (lines_other_than_make, "make check test", "make check tset"),
        (lines_other_than_make, "make check test ARGS", "make ARGS"),
        (lines_other_than_make, "make check test", "make check | tee log"),
        (lines_other_than_make, "$CHOICE", "$(cat choice)"),
        (lines_other_than_make, "run: make check test", "run: pytest"),
        (lines_other_than_make, "run: make check", "run: |\n          make test\n          make"),
        (expressions_in_commands, "$CHOICE", "${{ github.head_ref }}"),
        (unversioned_runners, "${{ matrix.machine }}", "ubuntu-latest"),
        (unversioned_runners, "ubuntu-24.04-arm", "macos-latest"),
        (unversioned_runners, "${{ matrix.machine }}", "[self-hosted]"),
        (unversioned_runners, "    runs-on: ${{ matrix.machine }}\n", ""),
        (unversioned_runners, "${{ matrix.machine }}", "${{ vars.MACHINE }}"),
        (unversioned_runners, "${{ matrix.machine }}", "${{ vars.MACHINE || 'ubuntu' }}"),
        (shared_schedules, "17 3", "0 3"),
        (shared_schedules, "17 3", "*/5 3"),
        (shared_schedules, "17 3", "00 3"),
        (shared_schedules, "on:\n", "on:\n  push:\n"),
        (inherited_secrets, "secrets:\n      token: ${{ secrets.TOKEN }}", "secrets: inherit"),
    ],
    ids=name_of,
)
def test_a_rule_sees_a_mistake_in_a_workflow(rule: Rule, old: str, new: str) -> None:
    assert rule(seeded(old, new)) != []


@pytest.mark.parametrize(
    ("rule", "old", "new"),
    [
        (bare_versions, "with: {", "with: {python-version: 3.11, "),
        (bare_versions, "runs:\n", "inputs:\n  python: {default: 3.11}\nruns:\n"),
        (unpinned_actions, f"@{COMMIT} # v7.0.1", "@v7"),
        (kept_credentials, "persist-credentials: false", ""),
        (lines_other_than_make, "make setup", "pip install treeline"),
        (expressions_in_commands, "make setup", "make setup ARGS=${{ inputs.what }}"),
    ],
    ids=name_of,
)
def test_a_rule_sees_a_mistake_in_an_action(rule: Rule, old: str, new: str) -> None:
    assert rule(seeded(old, new, ACTION)) != []


@pytest.mark.parametrize(
    ("old", "new"),
    [(COMMIT, COMMIT[::-1]), ("v7.0.1", "v7.0.2")],
    ids=["another commit", "another version"],
)
def test_two_pins_of_one_action_are_seen(old: str, new: str) -> None:
    alike = [Document(SOUND), Document(ACTION)]
    assert actions_with_several_pins(alike) == []
    assert actions_with_several_pins([Document(SOUND), seeded(old, new, ACTION)]) == [
        "actions/checkout"
    ]


def test_a_workflow_that_follows_none_is_seen() -> None:
    follower = Document(FOLLOWER)
    assert lost_links([Document(SOUND), follower]) == []
    assert lost_links([seeded("name: sound", "name: renamed"), follower]) == ["sound"]
