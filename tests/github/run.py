"""One run of one workflow: its jobs, at the same time where nothing keeps them apart."""

import json
import threading
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.github.evaluator import evaluator
from tests.github.events import Event, inputs_of, triggers
from tests.github.formats import rows, text_of, texts_of
from tests.github.job import Job, Step
from tests.github.queues import Cancelled, Ticket
from tests.github.settings import RANK, Environment

if TYPE_CHECKING:
    from tests.github.hub import GitHub

WORST = ("failure", "cancelled", "success", "skipped")  # the first that a job has is the run's


@dataclass
class Run:
    """A run: what started it, what it is given, and what becomes of it.

    `outer` is the run that calls this workflow, with what its job may do; None for a run by itself.
    """

    github: "GitHub"
    file: str
    event: Event
    number: int
    folder: Path
    document: Mapping[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    inputs: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    outer: "Run | None" = None
    steps: list[Step] = field(default_factory=list)
    jobs: dict[str, Any] = field(default_factory=dict)
    notes: list[tuple[str, str]] = field(default_factory=list)
    masks: set[str] = field(default_factory=set)
    minutes: dict[str, float] = field(default_factory=dict)  # by job, of machines that were busy
    conclusion: str = ""
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def name(self) -> str:
        return str(self.document.get("name", self.file))

    @cached_property
    def context(self) -> dict[str, Any]:
        """What expressions see as `github`, without what belongs to a job."""
        settings, event = self.github.settings, self.event
        owner = settings.name.partition("/")[0]
        top = self
        while top.outer:
            top = top.outer
        return {
            "event_name": event.name,
            "event": self.github.payload(event),
            "sha": event.sha,
            "ref": event.ref,
            "ref_name": event.short,
            "ref_type": "tag" if event.is_tag else "branch",
            "ref_protected": any(settings.refusal(event.ref, kind) for kind in ("", "PAT")),
            "head_ref": event.head,
            "base_ref": event.base if event.name == "pull_request" else "",
            "repository": settings.name,
            "repository_owner": owner,
            "actor": event.actor,
            "triggering_actor": event.actor,
            "run_id": str(top.number),
            "run_number": str(top.number),
            "run_attempt": "1",
            "workflow": top.name,
            "workflow_sha": event.sha,
            "workflow_ref": f"{settings.name}/.github/workflows/{top.file}@{event.ref}",
            "server_url": "https://github.com",
            "api_url": "https://api.github.com",
            "graphql_url": "https://api.github.com/graphql",
        }

    @property
    def log(self) -> str:
        """What it said, and before it what the workflows said that it called."""
        called = self.folder.parent.glob(f"{self.folder.name}-*")
        folders = [*sorted(called, key=lambda folder: folder.stat().st_ctime), self.folder]
        return "\n".join((folder / "log.txt").read_text() for folder in folders)

    @property
    def summary(self) -> str:
        """The page of the run, with those of the workflows that it called."""
        pages = sorted(self.folder.parent.glob(f"{self.folder.name}*/summary.md"))
        return "\n".join(page.read_text() for page in pages)

    def step(self, name: str) -> str:
        """Return how a step ended: success, failure or skipped."""
        outcomes = [step.outcome for step in self.steps if step.name == name]
        assert outcomes, f"no step {name!r} in {[step.name for step in self.steps]}"
        return outcomes[-1]

    # --- what is written down -----------------------------------------------------------------

    def say(self, line: str) -> None:
        """Write a line to the log, without what is secret."""
        with self.lock:
            for secret in sorted(filter(None, self.masks), key=len, reverse=True):
                line = line.replace(secret, "***")
            with (self.folder / "log.txt").open("a") as log:
                log.write(line + "\n")

    def note(self, level: str, message: str) -> None:
        self.notes.append((level, message))
        self.say(f"      | {level}: {message}")

    def summarise(self, markdown: str) -> None:
        with self.lock, (self.folder / "summary.md").open("a") as summary:
            summary.write(markdown)

    def given_to(self, spec: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
        """Return the secrets and the variables that a job is given."""
        place = self._environment(spec)
        secrets = {**self.secrets, **(place.secrets if not self.event.fork else {})}
        return secrets, {**self.github.settings.variables, **place.variables}

    def _environment(self, spec: Mapping[str, Any]) -> Environment:
        return self.github.settings.environments.get(environment_of(spec), Environment())

    # --- jobs ---------------------------------------------------------------------------------

    def go(self) -> "Run":
        """Run all jobs that are to run; the conclusion says how it ended."""
        self.say(f"=== {self.name} ({self.file})  {self.event.name} of {self.event.short}")
        for error in self.errors:
            self.say(f"  {error}")
        if self.errors:
            self.conclusion = "startup_failure"
            return self
        try:
            with self.github.queues.turn(self._concurrency(self.document), self.file) as ticket:
                self._jobs(ticket)
            results = {job["result"] for job in self.jobs.values()}
            self.conclusion = next(each for each in WORST if each in results)
        except Cancelled:
            self.conclusion = "cancelled"
        self.say(f"  => {self.conclusion}")
        return self

    def _concurrency(self, spec: Mapping[str, Any], context: Any = None) -> Any:
        named = spec.get("concurrency")
        known = context or {"github": self.context, "inputs": self.inputs, "vars": {}}
        filled = evaluator().fill(named, known, status="success") if named else None
        return {"group": filled} if isinstance(filled, str) else filled

    def _jobs(self, ticket: Ticket) -> None:
        specs = dict(self.document["jobs"])
        running: dict[Future[dict[str, Any]], str] = {}
        with ThreadPoolExecutor(max_workers=8) as pool:
            while specs or running:
                for name in [each for each in specs if self._is_due(specs[each])]:
                    running[pool.submit(self._job, name, specs.pop(name), ticket)] = name
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    self.jobs[running.pop(future)] = future.result()

    def _is_due(self, spec: Mapping[str, Any]) -> bool:
        return all(name in self.jobs for name in needs_of(spec))

    def _job(self, name: str, spec: Mapping[str, Any], ticket: Ticket) -> dict[str, Any]:
        needs = {each: self.jobs[each] for each in needs_of(spec)}
        results = {each["result"] for each in needs.values()}
        status = "failure" if "failure" in results else "success"
        if ticket.cancelled or "cancelled" in results:
            status = "cancelled"
        elif status == "success" and results - {"success"}:
            status = "skipped"
        variables = self.github.settings.variables
        context = {"github": self.context, "needs": needs, "vars": variables, "inputs": self.inputs}
        condition = text_of(spec.get("if", "success()"))
        if not evaluator().holds(condition, context, status=status, workspace=""):
            self.say(f"  job {name}: skipped")
            return {"result": "skipped", "outputs": {}}
        matrix = evaluator().fill(
            (spec.get("strategy") or {}).get("matrix") or {}, context, status=status
        )
        done = [self._one(name, spec, needs, row) for row in rows(matrix)]
        outputs = {key: value for each in done for key, value in each["outputs"].items() if value}
        result = next(each for each in WORST if any(one["result"] == each for one in done))
        self.say(f"  job {name}: {result}   {json.dumps(outputs) if outputs else ''}")
        return {"result": result, "outputs": outputs}

    def _one(
        self, name: str, spec: Mapping[str, Any], needs: Mapping[str, Any], row: Mapping[str, Any]
    ) -> dict[str, Any]:
        job = Job(self, name, spec, needs=needs, row=row)
        if "uses" in spec:
            return self._call(job)
        with ExitStack() as stack:
            try:
                concurrency = self._concurrency(spec, job.context())
                ticket = stack.enter_context(self.github.queues.turn(concurrency, name))
            except Cancelled:
                return {"result": "cancelled", "outputs": {}}
            if environment_of(spec) and not self._is_let_in(name, spec):
                return {"result": "failure", "outputs": {}}
            started = time.monotonic()
            done = job.work(ticket)
            label = "-".join([name, *map(str, row.values())])
            self.minutes[label] = (time.monotonic() - started) / 60
            return done

    def _is_let_in(self, name: str, spec: Mapping[str, Any]) -> bool:
        """Tell whether a job may use its environment, and record what GitHub records of it."""
        place, store = self._environment(spec), self.github.store
        named, branch = environment_of(spec), self.event.short
        if not place.admits(branch):
            self.note("error", f"Branch {branch} is not allowed to deploy to {named}")
            return False
        if place.review != "none":
            store.add("approvals", environment=named, job=name, run=self.number)
            if place.review == "reject":
                return False
        store.add("deployments", environment=named, job=name, run=self.number, sha=self.event.sha)
        return True

    # --- workflows that are called ------------------------------------------------------------

    def _call(self, job: Job) -> dict[str, Any]:
        context, spec = job.context(), job.spec
        file = Path(spec["uses"]).name
        given = job.fill(spec.get("secrets") or {}, context)
        inner = self.github.run_of(file, self.event, outer=self, label=job.name)
        inner.secrets = dict(self.secrets) if given == "inherit" else texts_of(given)
        on = triggers(inner.document.get("on")).get("workflow_call") or {}
        inner.inputs = inputs_of(on.get("inputs"), job.fill(spec.get("with") or {}, context))
        inner.document = {"permissions": job.permissions, **inner.document}
        inner.errors += excess(inner.document, job.permissions)
        inner.masks |= self.masks
        inner.go()
        self.steps += inner.steps
        self.notes += inner.notes
        self.minutes |= {f"{job.name}/{key}": value for key, value in inner.minutes.items()}
        known = {"jobs": inner.jobs, "inputs": inner.inputs}
        values = {key: how["value"] for key, how in (on.get("outputs") or {}).items()}
        outputs = texts_of(evaluator().fill(values, known, status="success"))
        ended = inner.conclusion
        kept = ended if ended in WORST else "failure"
        return {"result": "success" if kept == "skipped" else kept, "outputs": outputs}


def needs_of(spec: Mapping[str, Any]) -> list[str]:
    needs = spec.get("needs") or []
    return [needs] if isinstance(needs, str) else list(needs)


def environment_of(spec: Mapping[str, Any]) -> str:
    named = spec.get("environment") or ""
    return str(named["name"] if isinstance(named, dict) else named)


def excess(document: Mapping[str, Any], granted: Mapping[str, str]) -> list[str]:
    """Return what the jobs of a called workflow ask for beyond what their caller grants."""
    return [
        f"The nested job '{name}' is requesting '{scope}: {level}', "
        f"but is only allowed '{scope}: {granted.get(scope, 'none')}'"
        for name, job in document.get("jobs", {}).items()
        if isinstance(asked := job.get("permissions", document.get("permissions")), dict)
        for scope, level in asked.items()
        if RANK[level] > RANK[granted.get(scope, "none")]
    ]
