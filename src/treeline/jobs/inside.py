"""`python -m treeline.jobs.inside KIND MODEL`: what runs in the container of a job.

It is the first process there, which nobody inside can kill: when it ends, all others end. A script
runs with what was sent; a declaration goes through the pipeline of the image. What becomes of it is
the exit code, and the last line.

    /job/input/script.py, declaration.yaml, dataset, requirements.txt     what was sent
    /job/wheels                                                           what may be installed
    /job/result                                                           where the model goes
"""

import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from treeline.jobs.exits import DISK, MARK, MEMORY, OUTPUT, RUNNER, SCRIPT, TIME, Ended

INPUT, RESULT, WHEELS = Path("/job/input"), Path("/job/result"), Path("/job/wheels")
FOLDER = Path("/tmp/job")  # in memory, as large as the limit says
APPLICATION = Path("/app")  # where the image has the pipeline
PIPELINE = ("dvc.yaml", ".dvcignore", ".dvc", "src", "requirements", "dataset/sources")
FULL_BYTES = 64 << 10  # of free space, below which a disk is full
SHUT_SECONDS, REACH_SECONDS = 20.0, 2.0
OOM_KILLS = (
    Path("/sys/fs/cgroup/memory.events"),
    Path("/sys/fs/cgroup/memory/memory.oom_control"),
)
LIMITS = {
    resource.RLIMIT_FSIZE: "TREELINE_FILE_BYTES",
    resource.RLIMIT_NPROC: "TREELINE_PROCESSES",
}


def main(kind: str, model: str) -> int:
    """Run a job and return its exit code."""
    try:
        lower_limits()
        check_enclosed(os.environ.get("TREELINE_MUST_NOT_REACH", ""))
        FOLDER.mkdir(parents=True)
        made = {"script": by_script, "declaration": by_declaration}[kind](model)
        deliver(made)
    except Ended as ended:
        print(f"{MARK}{ended}", flush=True)
        return ended.code
    except OSError as error:
        print(f"{MARK}{error}", flush=True)
        return DISK
    return 0


def lower_limits() -> None:
    """Take on limits of the kernel that an engine has no word for; nobody here can raise them."""
    for kind, name in LIMITS.items():
        if most := os.environ.get(name):
            resource.setrlimit(kind, (int(most), int(most)))


def check_enclosed(address: str) -> None:
    """End where an address is reached that must not be, after what shuts it off had time."""
    until = time.monotonic() + SHUT_SECONDS
    host, _, port = address.rpartition(":")
    while address:
        try:
            socket.create_connection((host, int(port)), timeout=REACH_SECONDS).close()
        except OSError:
            return
        if time.monotonic() > until:
            text = f"it reaches {address}, which it must not: no policy of its network is in force"
            raise Ended(RUNNER, text)
        time.sleep(1)


def by_script(model: str) -> Path:
    """Run the script in an empty folder, and return where its model is."""
    made = FOLDER / "model.onnx"
    settings = {
        "DATASET": str(INPUT / "dataset"),
        "OUTPUT": str(made),
        "MODEL": model,
        "HOME": str(FOLDER),
        "MPLCONFIGDIR": str(FOLDER / ".matplotlib"),
    }
    work = FOLDER / "work"
    work.mkdir()
    until = time.monotonic() + int(os.environ["TREELINE_SECONDS"])
    python = sys.executable
    if (file := INPUT / "requirements.txt").exists():
        python = import_module("treeline.jobs.requirements").python_with(
            file, WHEELS, FOLDER / "installed", until=until
        )
    supervised([python, "-u", str(INPUT / "script.py")], work, settings, until=until)
    if not made.is_file():
        raise Ended(OUTPUT, "the script has written no model to the path in OUTPUT")
    return made


def by_declaration(model: str) -> Path:
    """Take a block of a declaration and a table through the pipeline; return where its model is."""
    project = FOLDER / "project"
    for name in PIPELINE:
        source, target = APPLICATION / name, project / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy2(source, target)
    table = INPUT / "dataset"
    with table.open("rb") as stream:
        suffix = "parquet" if stream.read(4) == b"PAR1" else "csv"
    path = f"dataset/sources/file/{model}.{suffix}"
    shutil.copyfile(table, project / path)
    declare(project, model, path)
    settings = {"PYTHONPATH": str(project / "src"), "HOME": str(FOLDER)}
    until = time.monotonic() + int(os.environ["TREELINE_SECONDS"])
    supervised([sys.executable, "-m", "treeline", "train", model], project, settings, until=until)
    made = project / "model" / model / "artifact" / "model.onnx"
    if not made.is_file():
        raise Ended(OUTPUT, "the model was exported as a pickle, and only ONNX is served of a job")
    return made


def declare(project: Path, model: str, path: str) -> None:
    """Write the declaration of one model, whose rows are in the file at `path`."""
    yaml = import_module("ruamel.yaml").YAML(typ="safe")
    try:
        block: Any = yaml.load((INPUT / "declaration.yaml").read_text(encoding="utf-8"))
    except (import_module("ruamel.yaml.error").YAMLError, UnicodeDecodeError) as error:
        raise Ended(SCRIPT, f"the declaration is not YAML: {str(error)[:500]}") from error
    if not isinstance(block, dict):
        raise Ended(SCRIPT, "the declaration is not the block of a model, with target and features")
    given = block.get("source") or {}  # which may say how the table is written
    if not isinstance(given, dict):
        raise Ended(SCRIPT, "the declaration has a source that is no block")
    declared = {**block, "source": {**given, "kind": "file", "path": path}}
    with (project / "params.yaml").open("w", encoding="utf-8") as stream:
        yaml.dump({"default": model, "models": {model: declared}}, stream)


def supervised(
    command: list[str], folder: Path, settings: Mapping[str, str], *, until: float
) -> None:
    """Run a command to its end, at most until then; raises Ended where that is not a good one."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **settings},
            check=False,
            timeout=max(0.0, until - time.monotonic()),
        )
    except subprocess.TimeoutExpired:
        seconds = os.environ["TREELINE_SECONDS"]
        raise Ended(TIME, f"it did not end within {seconds} seconds") from None
    if done.returncode == 0:
        return
    if shutil.disk_usage(FOLDER).free < FULL_BYTES:
        raise Ended(DISK, "its folder was full")
    if killed_for_memory():
        raise Ended(MEMORY, "it needed more memory than it may have")
    if done.returncode < 0:
        raise Ended(SCRIPT, f"it was ended by the signal {-done.returncode}")
    raise Ended(SCRIPT, f"it ended with the code {done.returncode}; its log says why")


def killed_for_memory() -> bool:
    """Tell whether the kernel has ended a process here for want of memory.

    Engines know it too, but not each of them on each version of control groups.
    """
    for path in OOM_KILLS:
        if path.exists():
            counted = dict(line.split() for line in path.read_text("ascii").splitlines())
            return int(counted.get("oom_kill", 0)) > 0
    return False


def deliver(made: Path) -> None:
    """Copy the model to where the runner takes it; raises Ended where it is empty or too large."""
    size, most = made.stat().st_size, int(os.environ["TREELINE_MODEL_BYTES"])
    if not size:
        raise Ended(OUTPUT, "the file of the model is empty")
    if size > most:
        raise Ended(OUTPUT, f"the model has {size} bytes, and {most} are admitted")
    with made.open("rb") as source, RESULT.open("wb") as target:
        shutil.copyfileobj(source, target)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
