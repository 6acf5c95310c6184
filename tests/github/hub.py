"""A repository on the fake GitHub: events come in, and the workflows that they start run."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.github.evaluator import evaluator
from tests.github.events import DEPENDABOT, QUEUE, Event, inputs_of, triggers, why_not
from tests.github.git_http import EMPTY_TREE, Origin
from tests.github.queues import Queues
from tests.github.rest import Rest
from tests.github.run import Run
from tests.github.server import serving
from tests.github.settings import Settings
from tests.github.store import Store

MOST_RUNS = 8  # that one event may start after each other: a loop ends here
WORKFLOWS = ".github/workflows"


class GitHub:
    """A forge over the bare repository `folder`/origin.git; runs are below `folder`/runs."""

    def __init__(self, folder: Path, settings: Settings, store: Store | None = None) -> None:
        self.folder, self.settings = folder, settings
        self.store = store or Store()
        self.queues = Queues()
        self.origin = Origin(folder / "origin.git", folder / "state", settings, self.store)
        self.rest = Rest(settings, self.store, self.origin)
        self.network: dict[str, str] = {}
        self.commands = folder / "commands"
        self.commands.mkdir(parents=True, exist_ok=True)
        self._write_command("python", "python3")

    def _write_command(self, name: str, command: str) -> None:
        path = self.commands / name
        path.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        path.chmod(0o755)

    # --- events -------------------------------------------------------------------------------

    def pushed(self, branch: str, *, before: str = "", actor: str = "octocat") -> Event:
        """Return the event of a push to a branch, whose tip was `before`."""
        return self._ref_event("push", f"refs/heads/{branch}", before=before, actor=actor)

    def tagged(self, tag: str) -> Event:
        return self._ref_event("push", f"refs/tags/{tag}")

    def scheduled(self) -> Event:
        return self._ref_event("schedule", f"refs/heads/{self.settings.branch}")

    def dispatched(self, ref: str = "", **inputs: str) -> Event:
        """Return the event of a button pressed on a branch, or on a tag by its whole name."""
        place = ref if ref.startswith("refs/") else f"refs/heads/{ref or self.settings.branch}"
        return replace(self._ref_event("workflow_dispatch", place), inputs=inputs)

    def pull_request(self, branch: str, *, fork: bool = False, actor: str = "octocat") -> Event:
        """Return the event of a pull request from a branch; GitHub makes its merge to be tested."""
        main = self.origin.resolve(f"refs/heads/{self.settings.branch}")
        head = self.origin.resolve(f"refs/heads/{branch}")
        tree = self.origin.run("merge-tree", "--write-tree", main, head)
        identity = ("-c", "user.name=GitHub", "-c", "user.email=noreply@github.com")
        words = ("commit-tree", tree, "-p", main, "-p", head, "-m", f"Merge {head} into {main}")
        merge = self.origin.run(*identity, *words)
        self.origin.run("update-ref", "refs/pull/1/merge", merge)
        return Event(
            "pull_request", "refs/pull/1/merge", merge, self._message(head),
            self._files(main, merge), base=self.settings.branch, head=branch,
            actor=actor, fork=fork,
        )  # fmt: skip

    def queued(self, branch: str) -> list[Event]:
        """Return the events of a merge queue that tries a pull request: a push, and its group."""
        request = self.pull_request(branch)
        ref = f"refs/heads/{QUEUE}{self.settings.branch}/pr-1-{request.sha}"
        self.origin.run("update-ref", ref, request.sha)
        group = {"head_sha": request.sha, "head_ref": ref, "base_ref": f"refs/heads/{request.base}"}
        payload = {"action": "checks_requested", "merge_group": group}
        push = replace(request, name="push", ref=ref, base="", head="")
        return [push, replace(push, name="merge_group", base=request.base, payload=payload)]

    def _ref_event(self, name: str, ref: str, *, before: str = "", actor: str = "octocat") -> Event:
        commit = self.origin.resolve(ref)
        assert commit, f"{ref} is not there"
        earlier = before or self.origin.resolve(f"{commit}~1") or EMPTY_TREE
        files = self._files(earlier, commit)
        payload = {"before": earlier} if name == "push" else {}
        return Event(name, ref, commit, self._message(commit), files, payload=payload, actor=actor)

    def _message(self, commit: str) -> str:
        return self.origin.run("log", "-1", "--format=%B", commit)

    def _files(self, one: str, other: str) -> tuple[str, ...]:
        return tuple(self.origin.run("diff", "--name-only", one, other).splitlines())

    def payload(self, event: Event) -> dict[str, Any]:
        """Return what expressions see as `github.event`."""
        owner, _, short = self.settings.name.partition("/")
        here = {"full_name": self.settings.name, "name": short, "owner": {"login": owner},
                "default_branch": self.settings.branch, "private": self.settings.private,
                "fork": False}  # fmt: skip
        known = {"repository": here, "sender": {"login": event.actor}, **event.payload}
        if event.name in {"push", "workflow_dispatch"}:
            known |= {"ref": event.ref, "after": event.sha, "inputs": dict(event.inputs),
                      "head_commit": {"id": event.sha, "message": event.message}}  # fmt: skip
        if event.name == "pull_request":
            from_fork = {"full_name": f"fork/{short}", "fork": True}
            head = {"ref": event.head, "sha": self.origin.resolve(f"refs/heads/{event.head}"),
                    "repo": from_fork if event.fork else here}  # fmt: skip
            sides = {"head": head, "base": {"ref": event.base, "repo": here}, "number": 1,
                     "user": {"login": event.actor}}  # fmt: skip
            known |= {"action": "synchronize", "number": 1, "pull_request": sides}
        return known

    # --- workflows ----------------------------------------------------------------------------

    def started_by(self, event: Event) -> list[str]:
        """Return the files of the workflows that an event starts; nothing is run."""
        return [file for file in self._files_of(event) if not self.why_not(file, event)]

    def why_not(self, file: str, event: Event) -> str:
        """Return why an event does not start a workflow; nothing where it does."""
        document, _ = self._read(file, event)
        return why_not(document.get("on"), event)

    def _files_of(self, event: Event) -> list[str]:
        tree = self.origin.run("ls-tree", "--name-only", event.sha, f"{WORKFLOWS}/")
        return [Path(path).name for path in tree.splitlines() if path.endswith((".yml", ".yaml"))]

    def _read(self, file: str, event: Event) -> tuple[dict[str, Any], list[str]]:
        text = self.origin.file(event.sha, f"{WORKFLOWS}/{file}")
        return evaluator().workflow(text, name=file)

    def run_of(self, file: str, event: Event, *, outer: Run | None = None, label: str = "") -> Run:
        """Return a run of a workflow, not yet begun."""
        with self.store.lock:
            number = outer.number if outer else self._next_number()
            folder = self.folder / "runs" / (f"{number}-{label}" if outer else f"{number}")
            folder.mkdir(parents=True)
        document, errors = self._read(file, event)
        run = Run(self, file, event, number, folder, document, errors, outer=outer)
        run.secrets = self._secrets(event)
        run.masks |= {value for value in self.settings.secrets.values() if len(value) > 3}
        declared = triggers(document.get("on")).get("workflow_dispatch") or {}
        if event.name == "workflow_dispatch" and outer is None:
            run.inputs = inputs_of(declared.get("inputs"), event.inputs)
        (folder / "event.json").write_text(json.dumps(self.payload(event), indent=1))
        return run

    def _next_number(self) -> int:
        folders = (self.folder / "runs").glob("*")
        return 1 + max((int(path.name) for path in folders if path.name.isdigit()), default=0)

    def _secrets(self, event: Event) -> dict[str, str]:
        if event.fork:
            return {}
        by_dependabot = event.actor == DEPENDABOT and event.by_dependabot
        return dict(self.settings.dependabot_secrets if by_dependabot else self.settings.secrets)

    # --- what happens then --------------------------------------------------------------------

    def deliver(self, event: Event, *, only: str = "", chain: bool = False) -> list[Run]:
        """Run what an event starts, or one workflow of it; with `chain` what follows, too."""
        with self.online():
            files = [only] if only else self._files_of(event)
            wanted = [(file, event) for file in files if not self.why_not(file, event)]
            return self._followed(wanted) if chain else [self._gone(*each) for each in wanted]

    def together(self, events: Sequence[tuple[str, Event]]) -> list[Run]:
        """Run workflows at the same time, begun in this order."""
        with self.online(), ThreadPoolExecutor(max_workers=len(events)) as pool:
            runs = [self.run_of(file, event) for file, event in events]
            return list(pool.map(Run.go, runs))

    @contextmanager
    def online(self) -> Iterator[None]:
        """Serve the repository and the API to the steps that run inside."""
        with serving(self.rest, self.origin) as self.network:
            yield
        self.network = {}

    def _gone(self, file: str, event: Event) -> Run:
        return self.run_of(file, event).go()

    def _followed(self, queue: list[tuple[str, Event]]) -> list[Run]:
        done: list[Run] = []
        while queue and len(done) < MOST_RUNS:
            seen = len(self.store.pushes), len(self.store.dispatches)
            run = self._gone(*queue.pop(0))
            done.append(run)
            for event in [*self._events_since(*seen), *self._completed(run)]:
                files = (
                    [event.payload["file"]] if "file" in event.payload else self._files_of(event)
                )
                queue += [(file, event) for file in files if not self.why_not(file, event)]
        return done

    def _events_since(self, pushes: int, dispatches: int) -> Iterator[Event]:
        """Yield what a run did that starts workflows; by the token of a job only dispatches do."""
        for row in self.store.pushes[pushes:]:
            if row["kind"] != "GITHUB_TOKEN":
                yield self._ref_event("push", row["ref"], before=row["old"].replace("0" * 40, ""))
        for row in self.store.dispatches[dispatches:]:
            ref = row["ref"] if row["ref"].startswith("refs/") else f"refs/heads/{row['ref']}"
            event = self._ref_event("workflow_dispatch", ref)
            yield replace(event, inputs=row.get("inputs", {}), payload={"file": row["workflow"]})

    def completed(self, name: str, *, conclusion: str = "success") -> Event:
        """Return the event of a completed run of a workflow on main that this hub has not run."""
        here = {"full_name": self.settings.name, "fork": False}
        branch = self.settings.branch
        run = {"name": name, "event": "push", "conclusion": conclusion, "head_branch": branch,
               "head_repository": here}  # fmt: skip
        event = self._ref_event("workflow_run", f"refs/heads/{branch}")
        return replace(event, payload={"workflow_run": run, "action": "completed"})

    def _completed(self, run: Run) -> Iterator[Event]:
        if run.conclusion == "startup_failure":
            return
        here = {"full_name": self.settings.name, "fork": False}
        completed = {
            "id": run.number, "name": run.name, "event": run.event.name, "status": "completed",
            "conclusion": run.conclusion, "head_sha": run.event.sha,
            "head_branch": run.event.head or run.event.short, "head_repository": here,
            "html_url": f"https://github.com/{self.settings.name}/actions/runs/{run.number}",
        }  # fmt: skip
        event = self._ref_event("workflow_run", f"refs/heads/{self.settings.branch}")
        yield replace(event, payload={"workflow_run": completed, "action": "completed"})
