"""Trainings to be recorded: a scratch repository whose one model tried 27 settings."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import NAME, PARAMS, ROWS
from tests.person import of_a_person
from tests.trackers.training import Training

__all__ = ["of_a_person"]

FOREST = """\
      tree:
        estimator: sklearn.tree.DecisionTreeClassifier
        options: {random_state: 0}
        search:
          max_depth: [1, 2, 3]
          min_samples_leaf: [1, 5, 9]
          criterion: [gini, entropy, log_loss]
"""


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Training:
    """Return a repository in which the model is trained and exported, to be left as it is."""
    root = tmp_path_factory.mktemp("trained")
    before, _, after = PARAMS.partition("      logistic:\n")
    (root / "params.yaml").write_text(
        before + FOREST + after[after.index("    search: {strategy") :]
    )
    source = root / "dataset" / "sources" / "file" / "seedlings.csv"
    source.parent.mkdir(parents=True)
    source.write_text(ROWS + "\n")
    made = Training(root, NAME)
    made.train()
    made.git("init", "--quiet", "--initial-branch", "main")
    (root / ".gitignore").write_text(".treeline/\n*.parquet\n*.pkl\n")
    return made


@pytest.fixture
def training(
    first: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Training]:
    """Return a copy of it, to be changed at will, as the working directory; nothing is tracked."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_DEFAULT_ARTIFACT_ROOT"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "repository"
    shutil.copytree(first.root, root)
    monkeypatch.chdir(root)
    yield Training(root, NAME)
