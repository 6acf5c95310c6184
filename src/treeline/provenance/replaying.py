"""An old version → made again from its commit, and whether bytes or else predictions agree.

The commit is checked out beside this clone, with the code and the declaration of then and the
libraries of now. Stages run as its `dvc.lock` names them, from the collected rows on; a source may
have other rows by now. What differs from the files of then is what DVC and git see.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from treeline.config import Layout
from treeline.contract.signature import Signature
from treeline.delivery.processes import attempt, run
from treeline.errors import ProvenanceError

Outcome = Literal["same bytes", "same predictions", "same metrics", "other predictions"]
COLLECT = "collect"
STAGES = ("prepare", "train", "evaluate", "gate", "export")
SCORE = "score"  # how the columns of scores begin in the predictions of the test rows
QUOTED_LINES = 8


@dataclass(frozen=True)
class Replay:
    """What came of making a version again.

    `changed` are the files that differ, `libraries` those with another version: then and now.
    `metrics` are those that differ. `rows` is the number of test rows whose predictions of then are
    to be had, of which `labels` have another label; `difference` is the largest of two scores.
    Without any, metrics decide, which have six digits.
    """

    model: str
    version: str
    commit: str
    changed: tuple[str, ...]
    libraries: Mapping[str, tuple[str, str]]
    metrics: Mapping[str, tuple[float, float]]
    rows: int
    labels: int
    difference: float
    tolerance: float
    notes: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """What agrees; predictions do within the tolerance that the export was held to."""
        if not self.changed:
            return "same bytes"
        if not self.rows:
            return "other predictions" if self.metrics else "same metrics"
        agree = not self.labels and self.difference <= self.tolerance
        return "same predictions" if agree else "other predictions"

    @property
    def good(self) -> bool:
        """Whether the version can be made again, at least as far as its predictions go."""
        return self.outcome != "other predictions"


def replay(
    signature: Signature, commit: str, *, on_stage: Callable[[str], None] = lambda stage: None
) -> Replay:
    """Make the model of a signature again from a commit that has it.

    `on_stage` is called with the name of each stage before it runs. Raises ProvenanceError where a
    stage fails, and DeliveryError where git or DVC does.
    """
    paths, notes = Layout(signature.name), list[str]()
    with _checkout(commit) as folder:
        before = Layout(signature.name, folder)
        files = [each.as_posix() for each in (paths.raw, paths.predictions)]
        attempt("dvc", "fetch", *files, cwd=folder)  # without a remote the cache has what there is
        attempt("dvc", "checkout", "--quiet", "--allow-missing", *files, cwd=folder)
        then = pd.read_parquet(before.predictions) if before.predictions.exists() else None
        collect = not before.raw.exists()
        if collect:
            notes.append("the collected rows are to be had nowhere: they were collected anew")
        commands = _commands(folder, signature.name)
        for stage in (COLLECT, *STAGES) if collect else STAGES:
            on_stage(stage)
            _run_stage(commands[f"{stage}@{signature.name}"], folder)
        changed = tuple(_changed(folder, signature.name))
        metrics = _differing(
            signature.metrics, json.loads(before.metrics.read_text(encoding="utf-8"))
        )
        now = pd.read_parquet(before.predictions)
    rows, labels, difference = _compared(then, now)
    if then is None:
        notes.append("the predictions of then are to be had nowhere: only metrics are compared")
    return Replay(
        model=signature.name,
        version=signature.version,
        commit=commit,
        changed=changed,
        libraries=_libraries(signature.lineage.libraries),
        metrics=metrics,
        rows=rows,
        labels=labels,
        difference=difference,
        tolerance=signature.parity.tolerance,
        notes=tuple(notes),
    )


@contextmanager
def _checkout(commit: str) -> Iterator[Path]:
    """Yield a folder with a commit checked out that shares objects and cache with this clone."""
    cache = run("dvc", "cache", "dir").strip()
    with TemporaryDirectory(prefix="replay-") as scratch:
        folder = Path(scratch, "clone")
        run("git", "clone", "--quiet", "--shared", "--no-checkout", ".", str(folder))
        run("git", "checkout", "--quiet", "--detach", commit, cwd=folder)
        local = Path(".dvc", "config.local")
        if local.exists():
            shutil.copyfile(local, folder / local)
        run("dvc", "config", "--local", "cache.dir", str(Path(cache).resolve()), cwd=folder)
        yield folder


def _commands(folder: Path, model: str) -> dict[str, list[str]]:
    """Return the command of each stage of a model, as the lock file has it."""
    locked = YAML(typ="safe").load((folder / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    wanted = [f"{stage}@{model}" for stage in (COLLECT, *STAGES)]
    if lacking := [name for name in wanted if name not in locked]:
        raise ProvenanceError(f"dvc.lock of that commit has no stage {lacking[0]}")
    return {name: shlex.split(locked[name]["cmd"]) for name in wanted}


def _run_stage(command: list[str], folder: Path) -> None:
    """Run a stage with the code of the folder, by this Python; raises ProvenanceError."""
    program = [sys.executable, *command[1:]] if command[0] == "python" else command
    done = subprocess.run(
        program,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        quoted = "\n".join(done.stderr.strip().splitlines()[-QUOTED_LINES:])
        raise ProvenanceError(f"`{shlex.join(command)}` of that commit failed:\n{quoted}")


def _changed(folder: Path, model: str) -> Iterator[str]:
    """Yield the files of a model that are not what the commit has, by DVC and by git."""
    status = json.loads(run("dvc", "data", "status", "--granular", "--json", cwd=folder))
    by_dvc = status.get("uncommitted", {})
    paths = [path for kind in ("added", "modified", "deleted") for path in by_dvc.get(kind, ())]
    paths += run("git", "diff", "--name-only", "HEAD", cwd=folder).splitlines()
    prefixes = (f"dataset/{model}/", f"model/{model}/")
    there = (folder / path for path in sorted(set(paths)) if path.startswith(prefixes))
    # What was not fetched and is made by no stage that ran is not there, and no difference.
    yield from (each.relative_to(folder).as_posix() for each in there if each.exists())


def _differing(
    then: Mapping[str, float], now: Mapping[str, float]
) -> dict[str, tuple[float, float]]:
    names = [*then, *(name for name in now if name not in then)]
    pairs = {name: (then.get(name, np.nan), now.get(name, np.nan)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _compared(then: pd.DataFrame | None, now: pd.DataFrame) -> tuple[int, int, float]:
    """Return the number of rows, of labels that differ, and the largest difference of scores.

    Both frames have a column `prediction`, and columns of scores where the model gives any. Of a
    regression, whose predictions are the scores, no label differs.
    """
    if then is None:
        return 0, 0, 0.0
    if list(then.columns) != list(now.columns) or len(then) != len(now):
        return len(then), len(then), float("inf")
    numeric = [name for name in now.columns if name.startswith(SCORE)]
    is_regression = not numeric and pd.api.types.is_float_dtype(now["prediction"])
    columns = ["prediction"] if is_regression else numeric
    labels = 0 if is_regression else int((then["prediction"] != now["prediction"]).sum())
    apart: Any = (then[columns] - now[columns]).abs().to_numpy(dtype=np.float64)
    if is_regression:
        apart = apart / np.maximum(1.0, now[columns].abs().to_numpy(dtype=np.float64))
    return len(then), labels, float(apart.max(initial=0.0))


def _libraries(then: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return the libraries whose version here is another than that of the lineage."""
    versions = {}
    for name, earlier in then.items():
        try:
            here = installed(name)
        except PackageNotFoundError:
            here = "not installed"
        if here != earlier:
            versions[name] = earlier, here
    return versions
