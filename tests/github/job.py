"""One job of a workflow: its token, its contexts, and its steps in a workspace of its own."""

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.github.evaluator import StepError, evaluator
from tests.github.formats import parse_values, text_of, texts_of
from tests.github.queues import Ticket
from tests.github.settings import Token
from tests.github.standins import STANDINS

if TYPE_CHECKING:
    from tests.github.run import Run

SCOPES = (
    "actions", "attestations", "checks", "contents", "deployments", "id-token", "issues",
    "packages", "pages", "pull-requests", "statuses",
)  # fmt: skip
SYSTEM = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
SHELLS: dict[str | None, list[str]] = {
    None: ["bash", "-e"],
    "bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail"],
    "sh": ["sh", "-e"],
    "python": ["python"],
}
# How a job asks who it is, where it may.
IDENTITY = {
    "ACTIONS_ID_TOKEN_REQUEST_URL": "https://token.actions.githubusercontent.com/?run=1",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-the-job",
}
LIMIT = 900.0  # seconds that a step may take here, whatever its job says
FILES = ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY", "GITHUB_STATE")

command_of_a_step = re.compile(r"::(add-mask|error|warning|notice)( [^:]*)?::(.*)")


@dataclass(frozen=True)
class Step:
    """How a step ended: `outcome` by itself, `conclusion` for the job."""

    job: str
    name: str
    outcome: str
    conclusion: str
    seconds: float


class Job:
    """A job that runs steps; `row` is its place in the matrix, `needs` what earlier ones gave."""

    def __init__(
        self, run: "Run", name: str, spec: Mapping[str, Any], *, needs: Mapping[str, Any],
        row: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self.run, self.name, self.spec, self.needs, self.row = run, name, spec, needs, row
        label = re.sub(r"[^\w.-]", "_", "-".join([name, *map(str, row.values())]))
        self.folder = run.folder / label
        self.workspace, self.home = self.folder / "work", self.folder / "home"
        self.scratch = self.folder / "temp"
        for path in (self.workspace, self.home, self.scratch):
            path.mkdir(parents=True, exist_ok=True)
        self.status = "success"
        self.steps: dict[str, Any] = {}
        self.environment: dict[str, str] = {}
        self.registries: list[str] = []
        node = os.path.dirname(shutil.which("node") or "/usr/bin/node")
        self.path = [str(run.github.commands), *dict.fromkeys([*SYSTEM, node])]
        self.permissions = self._permissions()
        self.token = "ghs_" + secrets.token_hex(18)
        run.github.store.tokens[self.token] = Token("GITHUB_TOKEN", self.permissions)
        run.masks.add(self.token)

    def _permissions(self) -> dict[str, str]:
        named = self.spec.get("permissions", self.run.document.get("permissions", "read-all"))
        if isinstance(named, str):
            granted = dict.fromkeys(SCOPES, named.removesuffix("-all"))
        else:
            granted = dict(named or {})
        if self.run.event.fork:
            return {key: "read" for key, level in granted.items() if level != "none"}
        return granted

    # --- what expressions see -----------------------------------------------------------------

    def context(self, env: Mapping[str, str] = {}, inputs: Any = None) -> dict[str, Any]:
        run, scratch = self.run, str(self.scratch)
        given, variables = run.given_to(self.spec)
        return {
            "github": {
                **run.context,
                "job": self.name,
                "token": self.token,
                "workspace": str(self.workspace),
                "event_path": str(run.folder / "event.json"),
            },
            "env": dict(env),
            "vars": variables,
            "secrets": {**given, "GITHUB_TOKEN": self.token},
            "inputs": run.inputs if inputs is None else inputs,
            "steps": self.steps,
            "needs": self.needs,
            "matrix": self.row,
            "strategy": {"fail-fast": True},
            "job": {"status": self.status},
            "runner": {"os": "Linux", "arch": "X64", "name": "here", "temp": scratch,
                       "tool_cache": scratch, "environment": "self-hosted"},
        }  # fmt: skip

    def fill(self, value: Any, context: dict[str, Any]) -> Any:
        place = str(self.workspace)
        return evaluator().fill(value, context, status=self.status, workspace=place)

    def say(self, line: str) -> None:
        self.run.say(f"      | {line}")

    # --- steps --------------------------------------------------------------------------------

    def work(self, ticket: Ticket) -> dict[str, Any]:
        """Run the steps; return the result of the job and its outputs."""
        env = texts_of(self.fill(self.run.document.get("env") or {}, self.context()))
        env |= texts_of(self.fill(self.spec.get("env") or {}, self.context(env)))
        self.perform(self.spec["steps"], env, ticket=ticket)
        outputs = self.fill(
            self.spec.get("outputs") or {}, self.context({**env, **self.environment})
        )
        soft = text_of(self.fill(self.spec.get("continue-on-error", False), self.context()))
        result = "success" if soft == "true" and self.status == "failure" else self.status
        self.run.github.store.tokens.pop(self.token, None)  # it ends with its job
        return {"result": result, "outputs": texts_of(outputs)}

    def perform(
        self, steps: Sequence[Mapping[str, Any]], env: Mapping[str, str], *,
        inputs: Any = None, action: Path | None = None, ticket: Ticket | None = None,
    ) -> None:  # fmt: skip
        """Run steps one after the other, of the job or of a composite action."""
        for place, step in enumerate(steps):
            if ticket and ticket.cancelled:
                self.status = "cancelled"
            around = {**env, **self.environment}
            if action:
                around["GITHUB_ACTION_PATH"] = str(action)
            self._step(step, around, inputs=inputs, key=step.get("id") or f"__{place}")

    def _step(self, step: Mapping[str, Any], env: dict[str, str], *, inputs: Any, key: str) -> None:
        name = step.get("name") or step.get("uses") or step["run"].strip().split("\n")[0][:80]
        outcome, outputs, started, context = (
            "success",
            {},
            time.monotonic(),
            self.context(env, inputs),
        )
        try:
            env |= texts_of(self.fill(step.get("env") or {}, context))
            context = self.context(env, inputs)
            condition = text_of(step.get("if", "success()"))
            more = {"status": self.status, "workspace": str(self.workspace)}
            if evaluator().holds(condition, context, **more):
                self.run.say(f"    > {name}")
                outputs = self._uses(step, env, context) if "uses" in step else self._run(
                    step, env, context
                )  # fmt: skip
            else:
                outcome = "skipped"
        except (StepError, OSError) as error:
            outcome = "failure"
            outputs = error.outputs if isinstance(error, StepError) else {}
            self.run.note("error", f"{name}: {error}")
        soft = text_of(self.fill(step.get("continue-on-error", False), context)) == "true"
        conclusion = "success" if outcome == "failure" and soft else outcome
        self.steps[key] = {
            "outputs": texts_of(outputs),
            "outcome": outcome,
            "conclusion": conclusion,
        }
        seconds = time.monotonic() - started
        self.run.steps.append(Step(self.name, name, outcome, conclusion, seconds))
        self.run.say(f"    {outcome}: {name}  ({seconds:.1f} s)")
        if conclusion == "failure":
            self.status = "failure"

    def _run(
        self, step: Mapping[str, Any], env: Mapping[str, str], context: dict[str, Any]
    ) -> dict[str, str]:
        folder = self.workspace / text_of(self.fill(step.get("working-directory", "."), context))
        minutes = step.get("timeout-minutes")
        limit = min(LIMIT, 60 * float(self.fill(minutes, context))) if minutes else LIMIT
        script = text_of(self.fill(step["run"], context))
        return self.shell(script, env, SHELLS[step.get("shell")], folder=folder, limit=limit)

    def _uses(
        self, step: Mapping[str, Any], env: Mapping[str, str], context: dict[str, Any]
    ) -> dict[str, str]:
        name = step["uses"].partition("@")[0]
        given = self.fill(step.get("with") or {}, context)
        if not name.startswith("./"):
            if name not in STANDINS:
                raise StepError(f"nothing stands in for {name}: add it to tests/github/standins.py")
            return STANDINS[name](self, given)
        path = self.workspace / name / "action.yml"
        if not path.is_file():
            raise StepError(f"Can't find 'action.yml' under '{name}': has it been checked out?")
        action, outer, self.steps = evaluator().yaml(path.read_text()), self.steps, {}
        inputs = {
            key: text_of(given.get(key, self.fill((how or {}).get("default", ""), context)))
            for key, how in (action.get("inputs") or {}).items()
        }
        self.perform(action["runs"]["steps"], env, inputs=inputs, action=path.parent)
        values = {key: how["value"] for key, how in (action.get("outputs") or {}).items()}
        outputs = texts_of(self.fill(values, self.context(env, inputs)))
        self.steps = outer
        if self.status != "success":
            raise StepError("a step of the composite action failed", outputs)
        return outputs

    # --- processes ----------------------------------------------------------------------------

    def git(self, *words: str) -> str:
        """Run git in the workspace, against the fake GitHub; raises StepError."""
        env = {**os.environ, **self.run.github.network, "HOME": str(self.home)}
        env["GIT_TERMINAL_PROMPT"] = "0"
        done = subprocess.run(
            ["git", *words],
            cwd=self.workspace,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StepError(f"git {words[-1]}: {done.stderr.strip()}")
        return done.stdout

    def shell(
        self, script: str, env: Mapping[str, str], command: Sequence[str], *, folder: Path,
        limit: float,
    ) -> dict[str, str]:  # fmt: skip
        """Run a script with the files that GitHub reads afterwards; return its outputs."""
        mark = secrets.token_hex(4)
        path = self.scratch / f"{mark}.sh"
        path.write_text(script)
        files = {name: self.scratch / f"{mark}.{name}" for name in FILES}
        for file in files.values():
            file.touch()
        process = subprocess.Popen(
            [*command, str(path)],
            cwd=folder,
            env={**self._base(), **env, **{name: str(file) for name, file in files.items()}},
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        timer = threading.Timer(limit, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                self._heard(line.rstrip("\n"))
        code, killed = process.returncode, not timer.is_alive()
        timer.cancel()
        outputs = parse_values(files["GITHUB_OUTPUT"].read_text())
        self.environment |= parse_values(files["GITHUB_ENV"].read_text())
        self.path[:0] = files["GITHUB_PATH"].read_text().split()[::-1]
        self.run.summarise(files["GITHUB_STEP_SUMMARY"].read_text())
        if code:
            raise StepError("timed out" if killed else f"exit code {code}", outputs)
        return outputs

    def _heard(self, line: str) -> None:
        command = command_of_a_step.match(line)
        if command and command[1] == "add-mask":
            self.run.masks.add(command[3])
        elif command:
            self.run.note(command[1], command[3])
        else:
            self.say(line)

    def _base(self) -> dict[str, str]:
        known = self.context()["github"].items()
        event = self.scratch / "event.json"
        event.write_text(json.dumps(self.context()["github"]["event"]))
        return {
            "PATH": ":".join(self.path),
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "USER": "runner",
            **self.run.github.network,
            **{f"GITHUB_{k.upper()}": text_of(v) for k, v in known if k not in {"token", "event"}},
            "GITHUB_EVENT_PATH": str(event),
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "RUNNER_OS": "Linux",
            "RUNNER_ARCH": "X64",
            "RUNNER_TEMP": str(self.scratch),
            "GIT_TERMINAL_PROMPT": "0",
            **(IDENTITY if self.permissions.get("id-token") == "write" else {}),
        }
