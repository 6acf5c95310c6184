"""Models of LightGBM and CatBoost are brought by their own files, and answer as they did there."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

import treeline as library
from tests.commanding import treeline
from tests.intake.conftest import NUMBERS, TABLE
from tests.stages import made
from treeline.config import declared_model
from treeline.errors import ArtifactRejectedError, DataError, ExportError
from treeline.intake import Said
from treeline.intake.models import read_model

lightgbm = pytest.importorskip("lightgbm")
catboost = pytest.importorskip("catboost")

QUIET = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
SILENT = {"iterations": 20, "verbose": 0, "thread_count": 1, "allow_writing_files": False}


def boosted(frame: Any, target: Any, rounds: int = 25, **options: Any) -> Any:
    return lightgbm.train({**QUIET, **options}, lightgbm.Dataset(frame, target), rounds)


def said_of(error: pytest.ExceptionInfo[Exception]) -> str:
    return str(error.value)


def test_a_file_of_lightgbm_is_judged_exported_and_answers_as_it_did(rows: pd.DataFrame) -> None:
    frame = rows[NUMBERS].astype("float32")
    booster = boosted(frame, rows["left"] == "yes", objective="binary")
    booster.save_model("churn.txt")
    text = str(treeline("import", "churn.txt", *TABLE, "--classes", "no,yes"))
    assert "repeats lightgbm.Booster on 400 rows" in text
    spec, paths = declared_model("churn")
    signature = made(_Made(spec, paths))  # type: ignore[arg-type]
    assert signature.runtime == "onnx" and signature.lineage.estimator == "lightgbm.Booster"
    answers = library.Artifact.load("model/churn").predict(rows[NUMBERS])
    assert answers["probability"].to_numpy() == pytest.approx(booster.predict(frame), abs=1e-6)


CASES: dict[str, dict[str, Any]] = {
    "binary": {"objective": "binary"},
    "multiclass": {"objective": "multiclass", "num_class": 3},
    "regression": {"objective": "regression"},
    "absolute": {"objective": "regression_l1"},
    "poisson": {"objective": "poisson"},
    "forest": {
        "objective": "regression", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5,
    },
    "forest of classes": {
        "objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5,
    },
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("blanks", [False, True])
def test_a_graph_of_lightgbm_repeats_each_objective(
    case: str, blanks: bool, tmp_path: Path
) -> None:
    """Rows lie on the thresholds, beside them, and far from them; some values are missing."""
    chance = np.random.default_rng(1)
    matrix = chance.normal(size=(600, 3)).astype(np.float32)
    if blanks:
        matrix[chance.random(matrix.shape) < 0.1] = np.nan
    known = np.nan_to_num(matrix)
    merit = known[:, 0] + known[:, 1] ** 2
    classes = CASES[case].get("num_class", 2)
    target = np.digitize(merit, np.quantile(merit, np.linspace(0, 1, classes + 1)[1:-1]))
    booster = boosted(matrix, merit**2 if "reg" in str(CASES[case]) else target, **CASES[case])
    booster.save_model(tmp_path / "m.txt")
    model = read_model(str(tmp_path / "m.txt"), Said(features=("a", "b", "c")))
    frame = pd.DataFrame(_beside(booster, matrix), columns=["a", "b", "c"])
    graph = model.graph([(name, "number") for name in ("a", "b", "c")])
    found = _answers(graph, frame.to_numpy())
    expected = booster.predict(frame.to_numpy(), num_threads=1)
    if expected.ndim == 1 and model.classes:
        expected = np.column_stack([1 - expected, expected])
    assert np.allclose(found.reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)


def _beside(booster: Any, matrix: Any) -> Any:
    """Return the rows, and as many whose values are float32 next to a threshold, or on it."""
    table = booster.trees_to_dataframe()
    table = table[table["threshold"].notna()]
    more = np.resize(matrix, (3 * len(table), matrix.shape[1])).astype(np.float32)
    for place, (column, threshold) in enumerate(
        zip(table["split_feature"], table["threshold"], strict=True)
    ):
        near = np.float32(np.clip(threshold, *np.finfo(np.float32).max * np.array([-1, 1])))
        at = booster.feature_name().index(column)
        for number, value in enumerate((np.nextafter(near, np.float32(-9)), near)):
            more[3 * place + number, at] = value
        more[3 * place + 2, at] = np.nextafter(near, np.float32(9))
    return np.concatenate([matrix, more])


def _answers(graph: Any, matrix: Any) -> Any:
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    return session.run(None, {session.get_inputs()[0].name: matrix})[-1]


def test_categories_of_lightgbm_are_texts_as_in_the_frame_that_it_was_fitted_on(
    rows: pd.DataFrame,
) -> None:
    frame = rows[["plan", *NUMBERS]].astype({"plan": "category"})
    booster = boosted(frame, rows["left"] == "yes", objective="binary", max_cat_to_onehot=1)
    booster.save_model("plans.txt")
    assert "plan" in str(booster.trees_to_dataframe()["split_feature"].tolist())
    text = str(treeline("import", "plans.txt", *TABLE, "--classes", "no,yes"))
    assert "repeats lightgbm.Booster" in text and "type: category" in text


def test_columns_without_names_are_asked_for(rows: pd.DataFrame) -> None:
    matrix = rows[NUMBERS].to_numpy(dtype=np.float32)
    boosted(matrix, rows["spend"] + rows["months"], objective="regression").save_model("value.txt")
    rows.assign(total=rows["spend"] + rows["months"]).to_csv("totals.csv", index=False)
    table = ("--table", "totals.csv", "--target", "total")
    with pytest.raises(DataError, match="which columns it takes"):
        treeline("import", "value.txt", *table)
    said = str(treeline("import", "value.txt", *table, "--features", ",".join(NUMBERS)))
    assert "repeats lightgbm.Booster" in said and "task: regression" in said


def test_what_its_graph_does_not_repeat_is_refused(rows: pd.DataFrame) -> None:
    frame = rows[NUMBERS].astype("float32")
    boosted(
        frame, rows["left"] == "yes", objective="binary", sigmoid=3.0
    ).save_model("steep.txt")  # fmt: skip
    with pytest.raises(ExportError, match="answers otherwise"):
        treeline("import", "steep.txt", *TABLE, "--classes", "no,yes")
    refused: dict[str, Any] = {"zero": {"zero_as_missing": True}, "linear": {"linear_tree": True}}
    for name, options in refused.items():
        model = boosted(frame, rows["left"] == "yes", objective="binary", **options)
        model.save_model(f"{name}.txt")
        with pytest.raises(ExportError, match="answers otherwise"):
            treeline("import", f"{name}.txt", *TABLE, "--classes", "no,yes")
    several: dict[str, Any] = {"objective": "multiclassova", "num_class": 3}
    boosted(frame, rows["plan"].astype("category").cat.codes, **several).save_model("plans.txt")
    with pytest.raises(ExportError, match="answers otherwise"):
        treeline(
            "import", "plans.txt", "--table", "customers.csv", "--target", "plan",
            "--classes", "basic,plus,pro",
        )  # fmt: skip
    share = (np.random.default_rng(3).random(400) + (rows["left"] == "yes")) / 2
    rows[NUMBERS].assign(share=share).to_csv("shares.csv", index=False)
    boosted(frame, share, objective="cross_entropy").save_model("entropy.txt")
    with pytest.raises(ExportError, match="no ONNX converter for a model of LightGBM with"):
        treeline("import", "entropy.txt", "--table", "shares.csv", "--target", "share")
    assert list(library.read()) == ["flowers"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "some words", "not a model of LightGBM; give what"),
        ("b.txt", "tree\nversion=v4\n", "not a model of LightGBM"),
        ("c.cbm", "CBM1 and no more", "not a model of CatBoost"),
        ("d.cbm", "", "not a model of CatBoost"),
    ],
)
def test_a_file_that_is_none_is_named(name: str, text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ArtifactRejectedError) as error:
        read_model(str(tmp_path / name), Said())
    assert said in said_of(error) and name in said_of(error)


@pytest.mark.parametrize("loss", ["Logloss", "MultiClass", "RMSE", "Poisson"])
def test_a_file_of_catboost_answers_as_it_did(loss: str, rows: pd.DataFrame) -> None:
    frame = rows[NUMBERS].astype("float32")
    classes = loss in ("Logloss", "MultiClass")
    target: Any = rows["left"] if loss == "Logloss" else rows["plan"]
    chance = np.random.default_rng(2)
    target = target if classes else chance.poisson(rows["months"] / 4 + 1).astype(float)
    kind = catboost.CatBoostClassifier if classes else catboost.CatBoostRegressor
    kind(**SILENT, loss_function=loss).fit(frame, target).save_model("own.cbm")
    rows.drop(columns=["left", "plan"]).assign(truth=target).to_csv("truths.csv", index=False)
    said = str(treeline("import", "own.cbm", "--table", "truths.csv", "--target", "truth"))
    assert f"repeats catboost.core.{kind.__name__}" in said


def test_missing_values_of_catboost_go_its_way(rows: pd.DataFrame) -> None:
    frame = rows[NUMBERS].astype("float32").mask(np.random.default_rng(0).random((400, 2)) < 0.2)
    rows.assign(**{name: frame[name] for name in NUMBERS}).to_csv("customers.csv", index=False)
    model = catboost.CatBoostClassifier(**SILENT).fit(frame, rows["left"])
    model.save_model("gaps.cbm")
    assert "repeats catboost" in str(treeline("import", "gaps.cbm", *TABLE))


def test_categories_of_catboost_are_refused_with_a_way_out(rows: pd.DataFrame) -> None:
    model = catboost.CatBoostClassifier(**SILENT, cat_features=["plan"])
    model.fit(rows[["plan", *NUMBERS]], rows["left"]).save_model("plans.cbm")
    with pytest.raises(ArtifactRejectedError, match=r"'plan' is a column of categories or texts"):
        treeline("import", "plans.cbm", *TABLE)


def test_its_own_onnx_file_is_taken_too(rows: pd.DataFrame) -> None:
    frame = rows[NUMBERS].astype("float32")
    model = catboost.CatBoostClassifier(**SILENT).fit(frame, rows["left"])
    model.save_model("own.onnx", format="onnx")
    said = str(treeline("import", "own.onnx", *TABLE, "--features", ",".join(NUMBERS)))
    assert "repeats onnx" in said


@pytest.mark.parametrize("library_", ["lightgbm", "catboost"])
@pytest.mark.parametrize("kind", ["skops", "pkl"])
def test_an_estimator_within_a_pipeline_is_taken(
    library_: str, kind: str, rows: pd.DataFrame
) -> None:
    last = (
        lightgbm.LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1)
        if library_ == "lightgbm"
        else catboost.CatBoostClassifier(**SILENT)
    )
    columns = ColumnTransformer(
        [("texts", OneHotEncoder(sparse_output=False), ["plan"]), ("rest", "passthrough", NUMBERS)]
    )
    model: Pipeline = make_pipeline(columns, last).fit(rows[["plan", *NUMBERS]], rows["left"])
    if kind == "skops":
        skops.io.dump(model, "churn.skops")
        said = str(treeline("import", "churn.skops", *TABLE))
    else:
        Path("churn.pkl").write_bytes(pickle.dumps(model))
        said = str(treeline("import", "churn.pkl", *TABLE, "--trust"))
    assert f"repeats {library_}." in said


class _Made:
    """What the stages of a test ask of a project."""

    def __init__(self, spec: Any, paths: Any) -> None:
        self.spec, self.paths = spec, paths
