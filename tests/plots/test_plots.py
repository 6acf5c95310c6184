"""Every task gets its charts, as numbers and as pictures, the same bytes for the same input."""

import csv
import pickle
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from treeline.artifact import Prediction
from treeline.contract.features import Target
from treeline.evaluation.metrics import ks, roc_auc
from treeline.plots import Judged, charts_of, draw
from treeline.plots.charts import CURVE_POINTS
from treeline.records.evaluation import Importance

OF_LABELS = {"confusion", "importance"}
OF_CLASSES = OF_LABELS | {"calibration", "precision_recall", "roc"}
OF_VALUES = {"importance", "predicted_vs_actual", "residual_distribution", "residuals"}
CHARTS = {
    "binary": OF_CLASSES | {"score_distribution"},
    "multiclass": OF_CLASSES,
    "regression": OF_VALUES,
}
COLUMNS = ["series", "x", "y", "mark", "x_title", "y_title"]
IMPORTANCES: list[Importance] = [
    {"feature": "price ($) per ($) and \\frac", "loss": 0.3, "deviation": 0.02},
    {"feature": "a name, with a comma and all, that goes on and on", "loss": 0, "deviation": 0},
]
DRAW_ELSEWHERE = """
import pickle, sys
from pathlib import Path
from treeline.plots import draw
folder = Path(sys.argv[1])
for task, judged in pickle.loads((folder / "judged.pkl").read_bytes()).items():
    draw(judged, curves=folder / task / "curves", images=folder / task / "images")
print("matplotlib.pyplot" in sys.modules)
"""


def classified(classes: list[Any], *, rows: int = 90, seed: int = 0) -> Judged:
    """Return scores that know something of a truth in which every class occurs."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(rows) % len(classes))
    raised = np.exp(rng.normal(size=(rows, len(classes))) + 2 * np.eye(len(classes))[truth])
    scores = (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)
    binary = len(classes) == 2
    target = Target(
        name="outcome",
        task="binary" if binary else "multiclass",
        positive=classes[1] if binary else None,
    )
    prediction = Prediction(labels=scores.argmax(axis=1), scores=scores)
    return Judged(target, classes, truth, prediction, IMPORTANCES, "log_loss")


def regressed(*, rows: int = 90, spread: float = 40, unit: str = "EUR") -> Judged:
    """Return values that know something of the truth."""
    rng = np.random.default_rng(0)
    truth = rng.normal(150, spread, rows)
    values = truth + rng.normal(0, spread / 2, rows)
    target = Target(name="rent", task="regression", unit=unit)
    return Judged(target, [], truth, Prediction(values=values), IMPORTANCES, "rmse")


JUDGED = {
    "binary": classified([0.0, 1.0]),
    "multiclass": classified(["setosa", "versicolor", "virginica"]),
    "regression": regressed(),
}


@pytest.fixture(scope="session")
def of_tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of `<task>/curves` and `<task>/images`, to be read only."""
    folder = tmp_path_factory.mktemp("plots")
    for task, judged in JUDGED.items():
        drawn(judged, folder / task)
    return folder


def drawn(judged: Judged, folder: Path) -> tuple[Path, Path]:
    """Draw into two folders below `folder`; return that of curves and that of pictures."""
    draw(judged, curves=folder / "curves", images=folder / "images")
    return folder / "curves", folder / "images"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("task", CHARTS)
def test_every_task_gets_its_charts_as_curves_and_as_pictures(task: str, of_tasks: Path) -> None:
    for folder, kind in (("curves", "csv"), ("images", "png")):
        expected = {f"{name}.{kind}" for name in CHARTS[task]}
        assert set(everything(of_tasks / task / folder)) == expected


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_without_probabilities_only_what_labels_tell_is_drawn(task: str, tmp_path: Path) -> None:
    judged = JUDGED[task]
    labels = Prediction(labels=judged.prediction.labels)
    curves, images = drawn(replace(judged, prediction=labels), tmp_path)
    assert {path.stem for path in curves.iterdir()} == OF_LABELS
    assert {path.stem for path in images.iterdir()} == OF_LABELS


@pytest.mark.parametrize("task", CHARTS)
def test_all_curves_share_the_columns_that_one_template_needs(task: str, of_tasks: Path) -> None:
    for path in (of_tasks / task / "curves").iterdir():
        rows = rows_of(path)
        assert list(rows[0])[: len(COLUMNS)] == COLUMNS, path.name
        assert all(row[column] for row in rows for column in COLUMNS), path.name


def test_the_same_input_gives_the_same_bytes_in_another_process(
    of_tasks: Path, tmp_path: Path
) -> None:
    (tmp_path / "judged.pkl").write_bytes(pickle.dumps(JUDGED))
    told = subprocess.run(
        [sys.executable, "-c", DRAW_ELSEWHERE, tmp_path], check=True, capture_output=True, text=True
    )
    for task in CHARTS:
        for folder in ("curves", "images"):
            assert everything(of_tasks / task / folder) == everything(tmp_path / task / folder)
    assert told.stdout.split() == ["False"], "pyplot was imported, which selects a backend"


@pytest.mark.parametrize("task", CHARTS)
def test_a_picture_is_small_and_carries_no_metadata(task: str, of_tasks: Path) -> None:
    for path in (of_tasks / task / "images").iterdir():
        picture = Image.open(BytesIO(path.read_bytes()))
        assert picture.info == {}
        assert picture.width == 540
        assert path.stat().st_size < 60_000


def test_pictures_do_not_follow_the_settings_of_a_notebook(of_tasks: Path, tmp_path: Path) -> None:
    with mpl.rc_context({"font.size": 30, "figure.facecolor": "black", "savefig.dpi": 20}):
        _, images = drawn(JUDGED["regression"], tmp_path)
        assert mpl.rcParams["font.size"] == 30
    assert everything(images) == everything(of_tasks / "regression" / "images")


def test_files_of_an_earlier_run_are_gone(tmp_path: Path) -> None:
    drawn(JUDGED["multiclass"], tmp_path)
    for folder in drawn(JUDGED["regression"], tmp_path):
        assert {path.stem for path in folder.iterdir()} == OF_VALUES
    assert {path.name for path in tmp_path.iterdir()} == {"curves", "images"}


def test_what_cannot_be_drawn_leaves_the_earlier_run(tmp_path: Path) -> None:
    before = [everything(folder) for folder in drawn(JUDGED["multiclass"], tmp_path)]
    cut = replace(JUDGED["multiclass"], truth=JUDGED["multiclass"].truth[1:])
    with pytest.raises(ValueError, match="inconsistent"):
        drawn(cut, tmp_path)
    assert [everything(tmp_path / name) for name in ("curves", "images")] == before
    assert {path.name for path in tmp_path.iterdir()} == {"curves", "images"}


def test_a_long_curve_is_thinned_and_keeps_its_ends(tmp_path: Path) -> None:
    curves, _ = drawn(classified([0.0, 1.0], rows=5000), tmp_path)
    line = [row for row in rows_of(curves / "roc.csv") if row["mark"] == "line"]
    assert len(line) == CURVE_POINTS
    assert [(row["x"], row["y"]) for row in (line[0], line[-1])] == [("0", "0"), ("1", "1")]


def test_numbers_have_six_digits(of_tasks: Path) -> None:
    for row in rows_of(of_tasks / "regression" / "curves" / "residuals.csv"):
        assert len(row["y"].lstrip("-").replace(".", "").lstrip("0").split("e")[0]) <= 6


def test_a_binary_target_gets_one_curve_called_by_its_positive_class(of_tasks: Path) -> None:
    curves = of_tasks / "binary" / "curves"
    assert {row["series"] for row in rows_of(curves / "roc.csv")} == {"outcome = 1", "chance"}


def test_several_classes_get_one_curve_each(of_tasks: Path) -> None:
    curves = of_tasks / "multiclass" / "curves"
    for chart in ("roc", "precision_recall", "calibration"):
        series = {row["series"] for row in rows_of(curves / f"{chart}.csv")}
        assert set(JUDGED["multiclass"].classes) == series - {"chance", "perfect"}


def test_a_class_that_no_test_row_has_is_in_the_matrix_alone(tmp_path: Path) -> None:
    judged = JUDGED["multiclass"]
    truth = np.where(judged.truth == 2, 0, judged.truth)
    curves, _ = drawn(replace(judged, truth=truth), tmp_path)
    assert "virginica" not in {row["series"] for row in rows_of(curves / "roc.csv")}
    assert "virginica" in {row["y"] for row in rows_of(curves / "confusion.csv")}


def test_more_classes_than_a_picture_can_tell_apart_are_all_in_the_curves(tmp_path: Path) -> None:
    letters = [f"the letter {letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    curves, images = drawn(classified(letters, rows=400), tmp_path)
    assert set(letters) < {row["series"] for row in rows_of(curves / "roc.csv")}
    assert (images / "roc.png").stat().st_size < 60_000


def test_the_roc_curve_encloses_the_area_that_the_metric_names(of_tasks: Path) -> None:
    judged = JUDGED["binary"]
    assert judged.prediction.scores is not None
    curves = of_tasks / "binary" / "curves"
    line = [row for row in rows_of(curves / "roc.csv") if row["mark"] == "line"]
    x, y = (np.array([float(row[axis]) for row in line]) for axis in ("x", "y"))
    area = float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))
    assert area == pytest.approx(roc_auc(judged.truth, judged.prediction.scores), abs=1e-5)


def test_the_widest_gap_is_the_one_that_the_metric_names(of_tasks: Path) -> None:
    judged = JUDGED["binary"]
    assert judged.prediction.scores is not None
    curves = of_tasks / "binary" / "curves"
    low, high = (
        float(row["y"])
        for row in rows_of(curves / "score_distribution.csv")
        if row["mark"] == "gap"
    )
    found = ks(judged.truth, judged.prediction.scores)
    assert abs(high - low) == pytest.approx(found, abs=1e-5)


def test_the_bins_of_a_calibration_hold_every_row_and_a_share_within_its_interval(
    of_tasks: Path,
) -> None:
    curves = of_tasks / "binary" / "curves"
    bins = [row for row in rows_of(curves / "calibration.csv") if row["mark"] == "bins"]
    assert sum(float(row["rows"]) for row in bins) == 90
    for row in bins:
        assert float(row["low"]) <= float(row["y"]) <= float(row["high"])


def test_the_cells_of_a_confusion_matrix_hold_every_row(of_tasks: Path) -> None:
    judged = JUDGED["multiclass"]
    curves = of_tasks / "multiclass" / "curves"
    cells = rows_of(curves / "confusion.csv")
    assert sum(int(cell["rows"]) for cell in cells) == 90
    right = sum(int(cell["rows"]) for cell in cells if cell["x"] == cell["y"])
    assert right == int(np.sum(judged.truth == judged.prediction.labels))


def test_the_unit_of_the_target_is_on_the_axes() -> None:
    charts = {chart.name: chart for chart in charts_of(JUDGED["regression"])}
    assert charts["predicted_vs_actual"].x_title == "actual rent (EUR)"
    assert charts["predicted_vs_actual"].y_title == "predicted rent (EUR)"
    assert charts["residuals"].y_title == "actual minus predicted (EUR)"


@pytest.mark.parametrize("task", CHARTS)
def test_every_chart_says_how_many_rows_it_rests_on(task: str) -> None:
    assert all("90 test rows" in chart.note for chart in charts_of(JUDGED[task]))


@pytest.mark.parametrize(
    "judged",
    [
        regressed(rows=1),
        regressed(spread=0),
        regressed(rows=3000, spread=5e6, unit="EUR per square metre and month of a whole year"),
        classified(["no", "a very long name of the class that counts as the positive one"], rows=2),
        replace(JUDGED["binary"], importances=[]),
    ],
    ids=["one row", "all alike", "many large numbers", "one row a class", "no importances"],
)
def test_odd_input_is_drawn_all_the_same(judged: Judged, tmp_path: Path) -> None:
    curves, images = drawn(judged, tmp_path)
    assert {path.stem for path in curves.iterdir()} == {path.stem for path in images.iterdir()}
    assert list(images.iterdir())
