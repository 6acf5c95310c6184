"""How DVC and the commands grow with the number of models.

A scratch copy of this checkout gets N models, each a renamed copy of one that is up to date here:
its block of params.yaml, its stages in dvc.lock, its files. Nothing is trained. Seconds are those
of the processor, which a busy machine does not change as much as those of the clock.
"""

import hashlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from treeline.config import PARAMS, Layout, read_params

COUNTS = (1, 4, 10, 50, 200)
MODEL = "iris"
LOCK = Path("dvc.lock")
FOLDERS = (".dvc/plots", "dataset/sources", "requirements", "src")
FILES = (".dvc/config", ".dvcignore", ".gitignore", "dvc.yaml", "model/code.json")

# The service from its start until it is ready, and its end.
START = """
import asyncio
from api.app import create_app
async def start(app):
    async with app.router.lifespan_context(app):
        pass
asyncio.run(start(create_app()))
"""

# Each reads all declarations or all models, and none has anything to do.
PYTHON = (sys.executable, "-m")
COMMANDS: dict[str, tuple[str, ...]] = {
    "status": ("dvc", "status"),
    "repro": ("dvc", "repro"),
    "digest": (*PYTHON, "treeline.stages", "digest"),
    "doctor": (*PYTHON, "treeline", "doctor"),
    "service": (sys.executable, "-c", START),
}


def main() -> int:
    """Print a line per number of models: the processor seconds of each command."""
    read_params()  # says what is wrong where this is no repository
    print(f"{'models':>6}", *(f"{name:>8}" for name in COMMANDS))
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "checkout"
            declare(root, count)
            seconds = [measure(root, command) for command in COMMANDS.values()]
            print(f"{count:>6}", *(f"{each:8.1f}" for each in seconds), flush=True)
    return 0


def declare(root: Path, count: int) -> None:
    """Make a repository with `count` copies of the model, all of them up to date."""
    names = [f"{MODEL}-{number}" for number in range(count)]
    _copy(root, names)
    block = _read(PARAMS)["models"][MODEL]
    _write(root / PARAMS, {"default": names[0], "models": dict.fromkeys(names, block)})
    lock = _read(LOCK)
    stages = {"code": lock["stages"]["code"]}
    for stage in [stage for stage in lock["stages"] if stage.endswith(f"@{MODEL}")]:
        entries = {name: _renamed(lock["stages"][stage], name) for name in names}
        stages |= {stage.replace(MODEL, name): entry for name, entry in entries.items()}
    _write(root / LOCK, lock | {"stages": stages})
    _run(root, ("dvc", "repro", "--quiet", "digest"))
    _follow_the_default(root, names[0])


def _follow_the_default(root: Path, name: str) -> None:
    """Write down that the export of the default model is up to date; here it is another model."""
    lock, path = _read(root / LOCK), Layout(name).inputs / "export.json"
    content = (root / path).read_bytes()
    [followed] = [
        each for each in lock["stages"][f"export@{name}"]["deps"] if each["path"] == str(path)
    ]
    followed |= {"md5": hashlib.md5(content).hexdigest(), "size": len(content)}
    _write(root / LOCK, lock)


def _copy(root: Path, names: list[str]) -> None:
    """Copy what DVC follows, the model once for each name; the cache is that of this checkout."""
    for name in FOLDERS:
        shutil.copytree(name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in names:
        shutil.copytree(Layout(MODEL).model, Layout(name, root).model)
        shutil.copytree(Layout(MODEL).dataset, Layout(name, root).dataset)
    for name in FILES:
        shutil.copyfile(name, root / name)
    cache = subprocess.check_output(["dvc", "cache", "dir"], encoding="utf-8").strip()
    settings = f"[cache]\n    dir = {Path(cache).resolve()}\n"
    (root / ".dvc" / "config.local").write_text(settings, encoding="utf-8")
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)


def measure(root: Path, command: tuple[str, ...]) -> float:
    """Return the processor seconds of a command; the first run, which hashes, is not counted."""
    for _ in range(2):
        used = _used()
        output = _run(root, command)
        seconds = _used() - used
    if command[0] == "dvc" and "up to date" not in output:
        sys.exit(f"the copies are not up to date:\n{output}")
    return seconds


def _run(root: Path, command: tuple[str, ...]) -> str:
    """Run a command in a repository, with its code and the service of this one."""
    code = os.pathsep.join([str(root / "src"), str(Path.cwd())])
    done = subprocess.run(
        command,
        cwd=root,
        env={**os.environ, "PYTHONPATH": code},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode and command[-1] != "doctor":  # which finds no remote there
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _renamed(value: Any, name: str) -> Any:
    """Return an entry of dvc.lock with the paths, keys and the command of another model."""
    if isinstance(value, dict):
        return {_renamed(key, name): _renamed(each, name) for key, each in value.items()}
    if isinstance(value, list):
        return [_renamed(each, name) for each in value]
    if not isinstance(value, str):
        return value
    for old in (f"model/{MODEL}/", f"model/inputs/{MODEL}/", f"dataset/{MODEL}/"):
        value = value.replace(old, old.replace(MODEL, name))
    if value.startswith("python -m treeline.stages "):
        value = value.replace(MODEL, name)
    return value


def _used() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def _read(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def _write(path: Path, document: Any) -> None:
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # before its representer is made
    yaml.representer.ignore_aliases = lambda *_: True
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(document, file)


if __name__ == "__main__":
    sys.exit(main())
