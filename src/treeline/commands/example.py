"""A declaration of `examples/` → its pipeline, run in a copy of this checkout.

The files of this checkout are copied to build/examples/NAME, which becomes a repository of its own
with NAME's params.yaml; there `dvc repro` runs, with the options given. This checkout's models and
its dvc.lock stay as they are; what DVC has cached is shared.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from treeline.config import PARAMS, Layout, read_params
from treeline.delivery.processes import attempt, run
from treeline.errors import ConfigError, DeliveryError

EXAMPLES = Path("examples")
TARGETS = Path("build") / "examples"
PREPARE = "prepare.sh"  # beside params.yaml: what must be there before the pipeline runs
LEFT_OUT = ("model/", "dvc.lock", str(PARAMS))
SOURCES = "dataset/sources/"
AUTHOR = ("-c", "user.name=Treeline", "-c", "user.email=treeline@example.invalid")


def example(name: str, options: list[str]) -> str:
    """Run an example; return where its reports are. Raises ConfigError and DeliveryError."""
    home = EXAMPLES / name
    if not name or not (home / PARAMS).is_file():
        known = sorted(path.parent.name for path in EXAMPLES.glob(f"*/{PARAMS}"))
        ways = f"there are {', '.join(known)}" if known else "treeline new DIR --example makes one"
        raise ConfigError(f"{home / PARAMS}: not found; {ways}")
    models = list(read_params(home / PARAMS).models)
    target = TARGETS / name
    print(f"Copying this checkout to {target}", flush=True)
    _copy(target)
    shutil.copyfile(home / PARAMS, target / PARAMS)
    _make_repository(target, name)
    if (home / PREPARE).is_file():
        _shown("sh", "-eu", str(home / PREPARE), cwd=target)
    _shown("dvc", "repro", *options, cwd=target)
    _shown("python", "-m", "treeline", "track", "--if-chosen", cwd=target)
    reports = [Layout(model, target).report for model in models]
    return "\n".join(f"Report: {report}" for report in reports if report.is_file())


def _copy(target: Path) -> None:
    """Copy what git has or would add; what an earlier run made of it stays."""
    files = list(_files())
    for top in {Path(name).parts[0] for name in files}:
        old = target / (SOURCES if top == "dataset" else top)
        if top != ".dvc" and old.is_dir():
            shutil.rmtree(old)
    for name in files:
        copied = target / name
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(name, copied, follow_symlinks=False)


def _files() -> Iterator[str]:
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        is_data = name.startswith("dataset/") and not name.startswith(SOURCES)
        if not is_data and not name.startswith(LEFT_OUT) and os.path.lexists(name):
            yield name


def _make_repository(target: Path, name: str) -> None:
    cache = Path(run("dvc", "cache", "dir").strip()).resolve()
    if not (target / ".git").is_dir():
        run("git", "init", "--quiet", "--initial-branch", "main", cwd=target)
    run("dvc", "cache", "dir", "--local", str(cache), cwd=target)
    run("git", "add", "--all", cwd=target)
    attempt("git", *AUTHOR, "commit", "--quiet", "--message", f"The example {name}", cwd=target)


def _shown(*command: str, cwd: Path) -> None:
    """Run a command whose output is shown, with the code and the Python of the example."""
    tools = Path(sys.executable).parent
    path = f"{tools}{os.pathsep}{os.environ.get('PATH', '')}"
    code = str((cwd / "src").resolve())
    environment = {**os.environ, "PATH": path, "PYTHONPATH": code}
    done = subprocess.run(command, cwd=cwd, env=environment, check=False)
    if done.returncode:
        raise DeliveryError(f"`{' '.join(command)}` failed in {cwd}; its output says why")
