"""Tiny models of H2O, and the JVMs they run in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.conftest import PARAMS, ROWS
from treeline.config.models import Candidate, Search
from treeline.contract.features import Feature, Task
from treeline.engines.java import require_java
from treeline.errors import EngineError
from treeline.preparation.splitting import folds
from treeline.stages.running import run
from treeline.trainers import Fitted, TrainingSet

FEATURES = {
    "Soil, or not": Feature(type="category", categories=("clay", "sand", "loam", "peat")),
    "Light": Feature(type="number", nullable=True),
    "target": Feature(type="boolean"),
}
FEW = {"models": 2, "exclude": ["XGBoost", "GBM"], "memory": "512m"}
CANDIDATES = """\
    candidates:
      automl:
        trainer: h2o
        options: {models: 1, exclude: [XGBoost, GBM, StackedEnsemble], memory: 512m}
      guess: {estimator: sklearn.dummy.DummyClassifier}
    search: {strategy: grid, folds: 3}
"""
RECORD = {"Species": "Quercus", "Light": 0.2, "EMF": None}
PLACE = "models.seedlings.candidates.automl"
N = 200


def need_java() -> None:
    """Skip where there is no Java that H2O can use."""
    try:
        require_java("H2O", range(8, 18))
    except EngineError as error:
        pytest.skip(f"needs Java 17: {error}")


def made_up(task: Task = "binary", *, noise: bool = False) -> TrainingSet:
    """Return rows in which the category says most, light a little, and some light is missing."""
    rng = np.random.default_rng(1)
    soil, light = rng.integers(0, 4, N), rng.uniform(0, 1, N)
    truth = 4.0 * np.isin(soil, (1, 2)) + light + rng.normal(0, 1.2, N)
    truth = rng.permutation(truth) if noise else truth
    light[::7] = np.nan
    columns = zip(FEATURES, (soil, light, rng.integers(0, 2, N)), strict=True)
    target = truth if task == "regression" else (truth > 2.5).astype(np.int64)
    return TrainingSet(
        frame=pd.DataFrame(dict(columns)).astype(np.float32),
        target=target,
        features=FEATURES,
        task=task,
        folds=folds(None if task == "regression" else target, n_rows=N, groups=None, k=3, seed=0),
    )


def fitted(training: TrainingSet, metric: str = "roc_auc", **options: Any) -> Fitted:
    """Let AutoML fit a few models; the caller has seen to it that H2O is there."""
    from treeline.trainers.h2o import H2OTrainer  # noqa: PLC0415  (it imports h2o)

    candidate = Candidate(trainer="h2o", options={**FEW, **options})
    return H2OTrainer().fit(
        training, candidate=candidate, search=Search(folds=3), metric=metric, place=PLACE
    )


def run_stages(folder: Path) -> Path:
    """Let AutoML win in a repository, the working directory; return its folder of models."""
    before, after = PARAMS.index("    candidates:"), PARAMS.index("    champion:")
    (folder / "params.yaml").write_text(PARAMS[:before] + CANDIDATES + PARAMS[after:])
    source = folder / "dataset" / "sources" / "file" / "seedlings.csv"
    source.parent.mkdir(parents=True)
    source.write_text(ROWS + "\n")
    for stage in ("collect", "prepare", "train", "evaluate", "gate", "export"):
        run([stage, "seedlings"])
    return folder / "model"


def jvms(ancestor: int) -> list[int]:
    """Return the processes of H2O that a process has started, through whatever others."""
    started = {pid: _read(pid, "cmdline").split("\0") for pid in descendants(ancestor)}
    return [pid for pid, words in started.items() if words[0].endswith("java")]


def descendants(ancestor: int) -> Iterator[int]:
    """Yield the processes that a process has started, and those that they have."""
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        if _read(pid, "stat").rpartition(")")[2].split()[1:2] == [str(ancestor)]:
            yield pid
            yield from descendants(pid)


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return ""
