"""Expressions and workflow files → what GitHub makes of them, by its own packages in Node."""

import fcntl
import hashlib
import json
import shutil
import subprocess
import threading
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SCRIPT, LOCK = HERE / "expressions.mjs", HERE / "package-lock.json"
INSTALLED = HERE.parents[1] / "build" / "github"  # not in git


class StepError(Exception):
    """What ends a step, in the words of its log; `outputs` are those it had set before."""

    def __init__(self, message: str, outputs: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.outputs = outputs or {}


def lacking() -> str:
    """Say what this machine lacks to run workflows; nothing when it lacks nothing."""
    missing = [tool for tool in ("git", "make", "node", "npm", "openssl") if not shutil.which(tool)]
    return f"not installed: {', '.join(missing)}" if missing else ""


class Evaluator:
    """A process of Node that evaluates what it is sent, one message after the other."""

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            ["node", "--no-warnings", str(folder / SCRIPT.name)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def workflow(self, text: str, *, name: str) -> tuple[dict[str, Any], list[str]]:
        """Parse a workflow as GitHub does; return the document and what is wrong with it."""
        answer = self._ask("workflow", text=text, name=name)
        return answer["document"], answer["errors"]

    def yaml(self, text: str) -> Any:
        return self._ask("yaml", text=text)

    def fill(self, value: Any, context: dict[str, Any], *, status: str, workspace: str = "") -> Any:
        """Evaluate the expressions in a text, or in every text of a mapping or list."""
        if isinstance(value, dict):
            return {
                key: self.fill(each, context, status=status, workspace=workspace)
                for key, each in value.items()
            }
        if isinstance(value, list):
            return [self.fill(each, context, status=status, workspace=workspace) for each in value]
        if not isinstance(value, str) or "${{" not in value:
            return value
        more = {"context": context, "status": status, "workspace": workspace}
        return self._ask("template", text=value, **more)

    def holds(
        self, condition: str, context: dict[str, Any], *, status: str, workspace: str
    ) -> bool:
        """Tell whether the condition of an `if:` holds."""
        more = {"context": context, "status": status, "workspace": workspace}
        return bool(self._ask("condition", text=condition, **more))

    def _ask(self, operation: str, **message: Any) -> Any:
        with self._lock:
            assert self._process.stdin is not None and self._process.stdout is not None
            self._process.stdin.write(json.dumps({"operation": operation, **message}) + "\n")
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise StepError(f"{answer['error']}   in: {str(message.get('text'))[:160]}")
        return answer["value"]


@cache
def evaluator() -> Evaluator:
    """Return the evaluator of this process; its packages are installed once for a checkout."""
    digest = hashlib.sha256(LOCK.read_bytes() + SCRIPT.read_bytes()).hexdigest()[:16]
    folder = INSTALLED / digest
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with (INSTALLED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "node_modules").is_dir():
            shutil.rmtree(folder, ignore_errors=True)
            _install(folder)
    return Evaluator(folder)


def _install(folder: Path) -> None:
    draft = folder.with_name(f"{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    for path in (HERE / "package.json", LOCK, SCRIPT):
        shutil.copyfile(path, draft / path.name)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(command, cwd=draft, check=True)
    draft.rename(folder)
