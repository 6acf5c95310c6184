"""`python -m treeline.jobs.inside KIND MODEL`: what runs in the container of a job.

It is the first process there, which nobody inside can kill: when it ends, all others end. A script
runs with what was sent; a declaration goes through the pipeline of the image. What becomes of it is
the exit code, and the last line.

    /job/input/script.py, declaration.yaml, dataset, requirements.txt     what was sent
    /job/result                                                           where the model goes
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from treeline.jobs.exits import DISK, MARK, OUTPUT, REQUIREMENTS, SCRIPT, TIME

INPUT, RESULT = Path("/job/input"), Path("/job/result")
FOLDER = Path("/tmp/job")  # in memory, as large as the limit says
APPLICATION = Path("/app")  # where the image has the pipeline
PIPELINE = ("dvc.yaml", ".dvcignore", ".dvc", "src", "requirements", "dataset/sources")
FULL_BYTES = 64 << 10  # of free space, below which a disk is full
SIGNALLED = 128


class Ended(Exception):
    """The job ends here, with an exit code and words on why."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def main(kind: str, model: str) -> int:
    """Run a job and return its exit code."""
    try:
        check_requirements(INPUT / "requirements.txt")
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


def check_requirements(file: Path) -> None:
    """End where the image does not have what a file requires, naming each line."""
    if not file.exists():
        return
    lacking = list(unmet(file.read_text(encoding="utf-8", errors="replace").splitlines()))
    if lacking:
        raise Ended(REQUIREMENTS, f"the image does not have what is required: {'; '.join(lacking)}")


def unmet(lines: list[str]) -> Iterator[str]:
    """Yield, of lines as `numpy>=2`, those that the packages here do not meet, and why."""
    metadata = import_module("importlib.metadata")
    requirements = import_module("packaging.requirements")
    for line in lines:
        wanted = line.partition("#")[0].strip()
        if not wanted:
            continue
        try:
            requirement = requirements.Requirement(wanted)
        except requirements.InvalidRequirement:
            yield f"{wanted[:80]!r} is not a name with a version, such as numpy>=2"
            continue
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            there = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield f"{wanted} (not installed)"
            continue
        if requirement.url or not requirement.specifier.contains(there, prereleases=True):
            yield f"{wanted} (here is {there})"


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
    supervised([sys.executable, "-u", str(INPUT / "script.py")], work, settings)
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
    supervised([sys.executable, "-m", "treeline", "train", model], project, settings)
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


def supervised(command: list[str], folder: Path, settings: Mapping[str, str]) -> None:
    """Run a command to its end; raises Ended where that is not a good one."""
    seconds = int(os.environ["TREELINE_SECONDS"])
    try:
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, **settings}, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        raise Ended(TIME, f"it did not end within {seconds} seconds") from None
    if done.returncode == 0:
        return
    if shutil.disk_usage(FOLDER).free < FULL_BYTES:
        raise Ended(DISK, "its folder was full")
    if done.returncode < 0:
        raise Ended(SCRIPT, f"it was ended by the signal {-done.returncode}")
    raise Ended(SCRIPT, f"it ended with the code {done.returncode}; its log says why")


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
