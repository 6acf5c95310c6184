"""A repository of DVC with a declared model, and labelled rows of customers."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.warm import programs

PARAMS = """\
default: flowers
models:
  flowers:
    source: {kind: library, dataset: iris, labels: species}
    target: {name: species, task: multiclass}
    features:
      petal length (cm): {type: number, minimum: 0, maximum: 20}
      petal width (cm): {type: number, minimum: 0, maximum: 20}
    split: {test: 0.3, seed: 0}
    candidates:
      logistic: {estimator: sklearn.linear_model.LogisticRegression}
    search: {folds: 3}
    champion: {metric: log_loss}
    gate: {}
"""
PETALS = ["petal length (cm)", "petal width (cm)"]
NUMBERS = ["months", "spend"]
TABLE = ("--table", "customers.csv", "--target", "left")


def customers() -> pd.DataFrame:
    chance = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "plan": chance.choice(["basic", "plus", "pro"], 400),
            "months": chance.integers(0, 60, 400),
            "spend": chance.normal(50, 20, 400).round(2),
        }
    )
    merit = 2.0 * (frame["plan"] == "basic") - 0.08 * frame["months"] + 0.01 * frame["spend"]
    leaves = chance.random(400) < 1 / (1 + np.exp(-merit.to_numpy()))
    return frame.assign(left=np.where(leaves, "yes", "no"))


@pytest.fixture(autouse=True)
def warm_dvc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is called in this process run a DVC that has been imported before."""
    monkeypatch.setenv("PATH", str(programs()), prepend=os.pathsep)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository of DVC that holds nothing."""
    folder = tmp_path_factory.mktemp("empty")
    subprocess.run(["dvc", "init", "--quiet", "--no-scm"], cwd=folder, check=True)
    return folder


@pytest.fixture
def rows(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """Return labelled rows, in a repository of DVC that is the working directory."""
    shutil.copytree(empty, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(PARAMS)
    Path("dataset/sources/file").mkdir(parents=True)
    frame = customers()
    frame.to_csv("customers.csv", index=False)
    return frame
