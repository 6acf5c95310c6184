"""What stands in for actions of others: each takes a job and its inputs, and returns outputs.

A stand-in raises StepError to fail its step. Sources of the real ones are nowhere read or run.
"""

import base64
import glob
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.github.evaluator import StepError
from tests.github.formats import text_of

if TYPE_CHECKING:
    from tests.github.job import Job

StandIn = Callable[["Job", Mapping[str, Any]], dict[str, str]]

full_commit = re.compile(r"[0-9a-f]{40}")


def checkout(job: "Job", inputs: Mapping[str, Any]) -> dict[str, str]:
    """Fetch what the event names, or `ref`, as actions/checkout does."""
    event, ref = job.run.event, str(inputs.get("ref") or "")
    token = str(inputs.get("token") or job.token)
    basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    header = f"http.https://github.com/.extraheader=AUTHORIZATION: basic {basic}"
    _empty(job.workspace)
    git = job.git
    git("init", "--quiet", "--initial-branch", "main", ".")
    git("remote", "add", "origin", f"https://github.com/{job.run.github.settings.name}")
    name = ref or event.ref
    detached = bool(full_commit.fullmatch(ref)) or name.startswith(("refs/pull/", "refs/tags/"))
    branch = "" if detached else name.removeprefix("refs/heads/")
    fetch = ("-c", header, "fetch", "--quiet")
    commit = ref if full_commit.fullmatch(ref) else "" if ref else event.sha
    if text_of(inputs.get("fetch-depth", "1")) == "0":
        git(*fetch, "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*")
        if commit:
            git(*fetch, "origin", commit)
    else:
        depth = f"--depth={text_of(inputs.get('fetch-depth', '1'))}"
        git(*fetch, "--no-tags", depth, "origin", commit or f"refs/heads/{branch}")
    target = commit or git("rev-parse", f"refs/remotes/origin/{branch}").strip()
    where = ("-B", branch, target) if branch else ("--detach", target)
    git("checkout", "--quiet", "--force", *where)
    if text_of(inputs.get("persist-credentials", True)) == "true":
        key, _, value = header.partition("=")
        git("config", key, value)
    return {"ref": ref, "commit": target}


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def setup_python(job: "Job", inputs: Mapping[str, Any]) -> dict[str, str]:
    """Put the Python of the settings on the PATH, and prepare the workspace where wanted."""
    settings = job.run.github.settings
    if settings.python:
        job.path.insert(0, f"{settings.python}/bin")
    if settings.prepare:
        settings.prepare(job.workspace)
    return {"python-version": text_of(inputs.get("python-version", ""))}


def tool(name: str) -> StandIn:
    """Return a setup action: from it on a job finds this tool, of the settings or the machine."""

    def setup(job: "Job", _: Mapping[str, Any]) -> dict[str, str]:
        if command := job.run.github.settings.tools.get(name):
            script = job.folder / "tools" / name
            script.parent.mkdir(exist_ok=True)
            script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            script.chmod(0o755)
            job.path.insert(0, str(script.parent))
        elif not shutil.which(name, path=":".join(job.path)):
            raise StepError(f"no `{name}` on this machine")
        return {}

    return setup


def login(job: "Job", inputs: Mapping[str, Any]) -> dict[str, str]:
    if not (inputs.get("username") and inputs.get("password")):
        raise StepError("Username and password required")
    job.registries.append(str(inputs.get("registry") or "docker.io"))
    return {}


def upload(job: "Job", inputs: Mapping[str, Any]) -> dict[str, str]:
    """Keep files of the workspace with the run, listed by the API."""
    name = text_of(inputs.get("name", "artifact"))
    target = job.run.folder / "artifacts" / name
    patterns = [line.strip() for line in text_of(inputs["path"]).splitlines() if line.strip()]
    paths = [path for each in patterns for path in glob.glob(str(job.workspace / each))]
    for path in map(Path, paths):
        target.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target / path.name, dirs_exist_ok=True)
        else:
            shutil.copy(path, target)
    if not paths and inputs.get("if-no-files-found") == "error":
        raise StepError(f"No files were found with the provided path: {inputs['path']}")
    if paths:
        job.run.github.store.add("artifacts", name=name, expired=False, workflow_run=_origin(job))
    return {}


def _origin(job: "Job") -> dict[str, Any]:
    run = job.run
    return {
        "id": run.number,
        "repository_id": 1,
        "head_repository_id": 2 if run.event.fork else 1,
        "head_sha": run.event.sha,
        "head_branch": run.event.head or run.event.short,
    }


def download(job: "Job", inputs: Mapping[str, Any]) -> dict[str, str]:
    source = job.run.folder / "artifacts" / text_of(inputs.get("name", ""))
    if not source.is_dir():
        raise StepError(f"Artifact not found for name: {inputs.get('name', '')}")
    shutil.copytree(source, job.workspace / text_of(inputs.get("path", ".")), dirs_exist_ok=True)
    return {}


def nothing(_: "Job", __: Mapping[str, Any]) -> dict[str, str]:
    return {}


STANDINS: dict[str, StandIn] = {
    "actions/checkout": checkout,
    "actions/setup-python": setup_python,
    "actions/setup-node": tool("node"),
    "actions/upload-artifact": upload,
    "actions/download-artifact": download,
    "iterative/setup-cml": tool("cml"),
    "docker/login-action": login,
    "docker/setup-qemu-action": nothing,
    "docker/setup-buildx-action": nothing,
}
