"""A model that was fitted elsewhere becomes one of the pipeline, and answers as it did there."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
import skops.io
import xgboost
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC

import treeline as library
from tests.commanding import treeline
from tests.intake.conftest import NUMBERS, PETALS, TABLE
from tests.stages import made
from treeline.config import Layout, declared_model
from treeline.errors import (
    ArtifactRejectedError,
    ConfigError,
    DataError,
    ExportError,
    TrainingError,
)
from treeline.intake import converting
from treeline.stages.collect import collect
from treeline.stages.prepare import prepare
from treeline.stages.train import train


class Doubled(BaseEstimator, TransformerMixin):
    """A step that no library has."""

    def fit(self, rows: Any, target: Any = None) -> "Doubled":
        return self

    def transform(self, rows: Any) -> Any:
        return rows * 2


def piped(rows: pd.DataFrame) -> Pipeline:
    """Return a pipeline with texts and numbers, fitted on the rows."""
    columns = ColumnTransformer(
        [("texts", OneHotEncoder(), ["plan"]), ("numbers", StandardScaler(), NUMBERS)]
    )
    return make_pipeline(columns, LogisticRegression()).fit(rows[["plan", *NUMBERS]], rows["left"])


def trained(name: str) -> dict[str, Any]:
    """Run what comes before the test rows, and return the record of the training."""
    spec, paths = declared_model(name)
    collect(spec, paths)
    prepare(spec, paths)
    train(spec, paths)
    record: dict[str, Any] = json.loads(paths.training.read_text())
    return record["candidates"]["imported"]


def test_a_file_of_skops_is_judged_exported_and_answers_as_it_did(rows: pd.DataFrame) -> None:
    model = piped(rows)
    skops.io.dump(model, "churn.skops")
    text = str(treeline("import", "churn.skops", *TABLE))
    assert "repeats sklearn.linear_model.LogisticRegression on 400 rows" in text
    assert Path("dataset/sources/models/churn.onnx.dvc").is_file()
    assert list(library.read()) == ["flowers", "churn"]

    spec, paths = declared_model("churn")
    signature = made(_Project(spec, paths))  # type: ignore[arg-type]
    assert signature.verdict.passed
    assert signature.runtime == "onnx" and signature.parity.largest_difference == 0
    assert signature.lineage.estimator == "sklearn.linear_model.LogisticRegression"
    assert signature.lineage.hyperparameters["path"] == "dataset/sources/models/churn.onnx"
    assert "fitted elsewhere" in paths.card.read_text()
    answers = library.Artifact.load("model/churn").predict(rows)
    assert answers["prediction"].tolist() == model.predict(rows).tolist()
    expected = model.predict_proba(rows)[:, 1]
    assert np.allclose(answers["probability"], expected, atol=1e-5)

    before = {path: path.read_bytes() for path in sorted(paths.model.rglob("*.[po]*"))}
    made(_Project(spec, paths))  # type: ignore[arg-type]
    assert {path: path.read_bytes() for path in before} == before


class _Project:
    """What `made` needs of a project."""

    def __init__(self, spec: Any, paths: Layout) -> None:
        self.spec, self.paths = spec, paths


def test_the_first_model_of_a_repository_can_be_an_imported_one(rows: pd.DataFrame) -> None:
    Path("params.yaml").write_text("default: null\nmodels: {}\n")
    skops.io.dump(piped(rows), "churn.skops")
    treeline("import", "churn.skops", *TABLE)
    assert list(library.read()) == ["churn"]


def test_a_dry_run_writes_nothing(rows: pd.DataFrame) -> None:
    skops.io.dump(piped(rows), "churn.skops")
    before = sorted(Path.cwd().rglob("*"))
    text = str(treeline("import", "churn.skops", *TABLE, "--dry-run"))
    assert "trainer: imported" in text and "repeats" in text
    assert sorted(Path.cwd().rglob("*")) == before


def test_what_runs_code_is_opened_where_a_person_says_so(rows: pd.DataFrame) -> None:
    forest = RandomForestClassifier(20, random_state=0).fit(rows[NUMBERS], rows["left"])
    Path("forest.pkl").write_bytes(pickle.dumps(forest))
    with pytest.raises(ArtifactRejectedError, match=r"runs the code.*--trust"):
        treeline("import", "forest.pkl", *TABLE)
    treeline("import", "forest.pkl", *TABLE, "--trust")
    declared = library.declared("forest")
    assert list(declared.spec.features) == NUMBERS
    assert trained("forest")["estimator"] == "sklearn.ensemble.RandomForestClassifier"


def test_a_type_that_no_library_has_is_named(rows: pd.DataFrame) -> None:
    steps = make_pipeline(Doubled(), LogisticRegression()).fit(rows[NUMBERS], rows["left"])
    skops.io.dump(steps, "own.skops")
    with pytest.raises(ArtifactRejectedError, match=r"test_importing.Doubled.*--trust"):
        treeline("import", "own.skops", *TABLE)
    with pytest.raises(ExportError, match="no ONNX converter for the steps before"):
        treeline("import", "own.skops", *TABLE, "--trust", "--features", "months,spend")


def test_a_function_that_runs_a_text_is_no_type_that_is_trusted(rows: pd.DataFrame) -> None:
    """It comes with NumPy; the file names it in the place of a step's own function."""
    steps = make_pipeline(FunctionTransformer(), LogisticRegression())
    steps.fit(rows[NUMBERS], rows["left"])[0].func = np.testing.measure
    skops.io.dump(steps, "own.skops")
    with pytest.raises(ArtifactRejectedError, match=r"numpy.testing.*measure.*--trust"):
        treeline("import", "own.skops", *TABLE)


def boosted(rows: pd.DataFrame) -> list[str]:
    target = (rows["left"] == "yes").astype(int)
    xgboost.XGBClassifier(n_estimators=5).fit(rows[NUMBERS], target).save_model("model.json")
    return ["model.json", "--classes", "no,yes"]


def graph(rows: pd.DataFrame, **options: Any) -> list[str]:
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(rows[NUMBERS].to_numpy(np.float32), rows["left"])
    types = [("X", FloatTensorType([None, 2]))]
    proto = to_onnx(model, initial_types=types, target_opset=18, options=options.get("options"))
    Path("model.onnx").write_bytes(proto.SerializeToString())
    return ["model.onnx", "--features", "months,spend"]


def without_maps(rows: pd.DataFrame) -> list[str]:
    return graph(rows, options={"zipmap": False})


def numbered(rows: pd.DataFrame) -> list[str]:
    """Return one whose labels are numbers, which a person has names for."""
    numbers = rows.assign(left=(rows["left"] == "yes").astype(int))
    return [*without_maps(numbers), "--classes", "no,yes"]


def logged(rows: pd.DataFrame) -> list[str]:
    mlflow = pytest.importorskip("mlflow.sklearn", reason="it needs: make setup-lab")
    mlflow.save_model(piped(rows), "logged", serialization_format="cloudpickle")
    return ["logged", "--name", "model", "--trust"]


@pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")  # MLflow's, of itself
@pytest.mark.parametrize("bring", [boosted, graph, without_maps, numbered, logged])
def test_models_of_other_kinds_are_judged_by_the_same_rows(
    rows: pd.DataFrame, bring: Callable[[pd.DataFrame], list[str]]
) -> None:
    treeline("import", *bring(rows), *TABLE)
    assert np.mean(trained("model")["folds"]["roc_auc"]) > 0.7


def test_a_regression_with_missing_values_is_imported(rows: pd.DataFrame) -> None:
    frame = rows.assign(spend=rows["spend"].where(rows["months"] % 7 > 0)).drop(columns="left")
    amount = 3 * frame["months"] + frame["spend"].fillna(0) + np.arange(400) % 11
    frame.assign(amount=amount).to_csv("amounts.csv", index=False)
    steps = make_pipeline(SimpleImputer(), LinearRegression()).fit(frame[NUMBERS], amount)
    skops.io.dump(steps, "amount.skops")
    treeline("import", "amount.skops", "--table", "amounts.csv", "--target", "amount")
    assert library.declared("amount").spec.target.task == "regression"
    assert np.mean(trained("amount")["folds"]["r2"]) > 0.9


def texts(*steps: Any) -> ColumnTransformer:
    """Return steps for the text that is first in the rows, and for the numbers after it."""
    encoded = make_pipeline(*steps, OneHotEncoder())
    return ColumnTransformer([("texts", encoded, [0]), ("numbers", StandardScaler(), [1, 2])])


@pytest.mark.parametrize(
    ("steps", "names"),
    [
        ([texts(), LogisticRegression()], ["Straße (neu)", "months per €", "spend"]),
        ([texts(), LogisticRegression()], ["a b", "a_b", "variable"]),
        ([texts(), LogisticRegression()], ["label", "features", "scores"]),
        ([texts(SimpleImputer(strategy="most_frequent")), LogisticRegression()], None),
        ([texts(SimpleImputer(strategy="constant", fill_value="none")), SVC()], None),
        ([texts(), SelectKBest(k=3), HistGradientBoostingClassifier(max_iter=9)], None),
    ],
)
def test_a_pipeline_is_imported_whatever_its_columns_are_called_and_lack(
    rows: pd.DataFrame, steps: list[Any], names: list[str] | None
) -> None:
    """Signs that no graph has in a name, names that ours have, and texts that are missing."""
    given = rows[["plan", *NUMBERS]]
    given = given.set_axis(names, axis=1) if names else given.replace("plus", np.nan)
    skops.io.dump(make_pipeline(*steps).fit(given, rows["left"]), "model.skops")
    given.assign(left=rows["left"]).to_csv("customers.csv", index=False)
    assert "on 400 rows of the table" in str(treeline("import", "model.skops", *TABLE, "--dry-run"))


@pytest.mark.parametrize(
    ("model", "truths"),
    [
        (LogisticRegression(), {"no": 0.0, "yes": 1.0}),
        (LogisticRegression(), {"no": False, "yes": True}),
        (SVC(), {"no": "stays", "yes": "LEAVES"}),
        (SVC(), {"no": 7, "yes": 3}),
    ],
)
def test_classes_are_recognised_whatever_they_are(
    rows: pd.DataFrame, model: Any, truths: dict[str, Any]
) -> None:
    target = rows["left"].map(truths)
    skops.io.dump(make_pipeline(StandardScaler(), model).fit(rows[NUMBERS], target), "model.skops")
    rows.assign(left=target).to_csv("customers.csv", index=False)
    assert "on 400 rows of the table" in str(treeline("import", "model.skops", *TABLE, "--dry-run"))


def test_rows_and_columns_are_those_of_a_declared_model(rows: pd.DataFrame) -> None:
    flowers = library.collect(library.declared("flowers"))
    model = LogisticRegression().fit(flowers[PETALS[::-1]], flowers["species"])
    skops.io.dump(model, "petals.skops")
    treeline("import", "petals.skops", "--like", "flowers")
    assert list(library.declared("petals").spec.features) == PETALS[::-1]
    assert np.mean(trained("petals")["folds"]["accuracy"]) > 0.9


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["model.onnx"], ConfigError, "--table rows.csv --target left"),
        (["model.onnx", "--like", "trees"], ConfigError, "--like trees: not declared"),
        (["model.onnx", "--name", "flowers", *TABLE], ConfigError, "by --name"),
        (["model.onnx", *TABLE], DataError, "--features plan,months,spend"),
        (["model.onnx", *TABLE, "--features", "age,spend"], DataError, "'age'"),
        (
            ["model.onnx", *TABLE, "--features", "months,spend", "--classes", "a,b"],
            ExportError,
            "--classes no,yes",
        ),
        (
            ["model.onnx", *TABLE, "--features", "months,spend", "--classes", "yes,no"],
            ArtifactRejectedError,
            "in this order: 'no', 'yes'",
        ),
        (
            ["model.onnx", *TABLE, "--features", "months,spend", "--classes", "a,b,c"],
            ArtifactRejectedError,
            "the model has 2 classes",
        ),
        (["model.onnx", *TABLE, "--name", "../mine"], ConfigError, "such as mine"),
        (["model.h5", *TABLE], ArtifactRejectedError, ".onnx"),
        (["nothing.skops", *TABLE], ArtifactRejectedError, "not a file"),
    ],
)
def test_what_is_not_known_is_asked_for_by_its_option(
    rows: pd.DataFrame, arguments: list[str], error: type[Exception], message: str
) -> None:
    without_maps(rows)
    before = Path("params.yaml").read_bytes()
    with pytest.raises(error, match=f"(?s).*{message.replace('.', '[.]')}"):
        treeline("import", *arguments)
    assert Path("params.yaml").read_bytes() == before
    assert not Path("dataset/sources/models").exists()


def test_a_regression_has_no_classes(rows: pd.DataFrame) -> None:
    skops.io.dump(LinearRegression().fit(rows[["months"]], rows["spend"]), "spend.skops")
    with pytest.raises(ArtifactRejectedError, match="the model has 0 classes"):
        treeline("import", "spend.skops", *TABLE, "--classes", "no,yes")


def test_another_file_or_other_columns_are_not_judged(rows: pd.DataFrame) -> None:
    treeline("import", *without_maps(rows), *TABLE)
    text, file = Path("params.yaml").read_text(), Path("dataset/sources/models/model.onnx")
    turned = text.replace("{type: integer, minimum: 0.0, maximum: 90.0}", "{type: number}")
    assert turned != text
    Path("params.yaml").write_text(turned)
    with pytest.raises(TrainingError, match="imported with other columns, types or categories"):
        trained("model")
    Path("params.yaml").write_text(text)
    payload = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(payload + b" ")
    with pytest.raises(TrainingError, match=r"options.sha256.*dvc pull"):
        trained("model")
    file.unlink()
    with pytest.raises(TrainingError, match=r"options.path.*dvc pull"):
        trained("model")


def test_a_graph_that_answers_otherwise_is_not_taken(
    rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A converter that is wrong, as some are: here one whose weights were halved."""
    skops.io.dump(LogisticRegression().fit(rows[NUMBERS], rows["left"]), "model.skops")
    right = converting.converted

    def wrong(*given: Any) -> onnx.ModelProto:
        proto = right(*given)
        for node in proto.graph.node:
            for attribute in node.attribute:
                if attribute.name == "coefficients":
                    attribute.floats[:] = [each / 2 for each in attribute.floats]
        return proto

    monkeypatch.setattr(converting, "converted", wrong)
    with pytest.raises(ExportError, match="answers otherwise"):
        treeline("import", "model.skops", *TABLE)
