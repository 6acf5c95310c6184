"""The chart of candidates: who competed, how good on each fold, and who won."""

from dataclasses import replace
from pathlib import Path

from tests.plots.test_plots import COLUMNS, JUDGED, drawn, rows_of
from treeline.records.training import CandidateRecord, Training, TrialRecord


def trial(estimator: str, *folds: float) -> TrialRecord:
    settings = {"estimator": f"sklearn.somewhere.{estimator}"}
    return {"hyperparameters": settings, "folds": {"log_loss": [*folds]}}


def candidate(*folds: float, tried: list[TrialRecord] | None = None) -> CandidateRecord:
    one: TrialRecord = {"hyperparameters": {}, "folds": {"log_loss": [*folds]}}
    best = next((each for each in tried or [] if each["folds"] == one["folds"]), one)
    return {
        "trainer": "auto",
        "estimator": "any",
        "hyperparameters": best["hyperparameters"],
        "folds": best["folds"],
        "trials": tried or [one],
    }


CHOSEN = [trial("RidgeClassifier", 0.3, 0.4), trial("RidgeClassifier", 0.2, 0.3)] + [
    trial(f"Bad{number}", number, number + 1) for number in range(1, 9)
]
TRAINING: Training = {
    "metric": "log_loss",
    "champion": "auto",
    "candidates": {
        "baseline": candidate(0.5, 0.7),
        "other": candidate(0.4, 0.5),
        "auto": candidate(0.2, 0.3, tried=CHOSEN),
    },
}


def test_the_candidates_are_drawn_with_their_folds_best_first(tmp_path: Path) -> None:
    curves, images = drawn(replace(JUDGED["binary"], training=TRAINING), tmp_path)
    rows = rows_of(curves / "candidates.csv")
    assert list(rows[0])[: len(COLUMNS)] == COLUMNS
    means = [(row["y"], row["x"]) for row in rows if row["series"] == "candidate"]
    assert means[:3] == [("auto: Ridge", "0.25"), ("other", "0.45"), ("baseline", "0.6")]
    assert [row["y"] for row in rows if row["series"] == "champion"] == ["auto: Ridge"]
    folds = [row for row in rows if row["mark"] == "fold"]
    assert [row["x"] for row in folds if row["y"] == "auto: Ridge"] == ["0.2", "0.3"]
    assert len(means) == 2 + 5, "of those that lose against the baseline only the best few"
    assert (images / "candidates.png").stat().st_size < 60_000
