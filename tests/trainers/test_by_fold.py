"""A training says what each fold gave, as its candidates come."""

import pytest

from tests.conftest import NAME, Project
from treeline.stages.collect import collect
from treeline.stages.prepare import prepare
from treeline.stages.train import by_fold, train

FOLDS = {"accuracy": [0.5, 1.0, 0.75], "roc_auc": [0.5, 0.75, 1.0]}
OF_AREA = "roc_auc by fold 0.5000 0.7500 1.0000: mean 0.7500, deviation 0.2500"
OF_ACCURACY = "accuracy by fold 0.5000 1.0000 0.7500: mean 0.7500, deviation 0.2500"


@pytest.mark.parametrize(
    ("folds", "metric", "lines"),
    [
        (FOLDS, "roc_auc", [OF_AREA, OF_ACCURACY]),
        (FOLDS, "accuracy", [OF_ACCURACY]),
        (
            {"rmse": [1.0, 2.0]},
            "rmse",
            ["rmse by fold 1.0000 2.0000: mean 1.5000, deviation 0.7071"],
        ),
    ],
)
def test_each_fold_is_said_with_mean_and_deviation(
    folds: dict[str, list[float]], metric: str, lines: list[str]
) -> None:
    assert list(by_fold(folds, metric)) == lines


def test_a_training_says_them_for_each_candidate(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    for stage in (collect, prepare, train):
        stage(project.spec, project.paths)
    said = capsys.readouterr().out
    for candidate in ("baseline", "logistic"):
        assert f"train {NAME}: {candidate}: roc_auc by fold " in said
        assert f"train {NAME}: {candidate}: accuracy by fold " in said
