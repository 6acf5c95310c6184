"""The Spark trainer: fitted on Spark, answering without it, to the last label the same."""

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from sklearn.pipeline import Pipeline

pytest.importorskip("pyspark", reason="needs pyspark: make setup-engines")

from tests import spark
from tests.conftest import Project
from treeline.artifact.pickled import predict
from treeline.config.models import Candidate, Search
from treeline.contract.features import Feature
from treeline.contract.signature import Signature
from treeline.errors import TrainingError, UnknownNameError
from treeline.export.conversion import converted, plain_bytes
from treeline.preparation.splitting import folds
from treeline.stages.running import run
from treeline.trainers import Fitted, TrainingSet
from treeline.trainers.columns import NamedColumns, TypedColumns
from treeline.trainers.spark import SparkTrainer
from treeline.trainers.translated import KINDS
from treeline.trainers.translated.fitting import OnSpark

pytestmark = [pytest.mark.xdist_group("spark"), spark.NEEDS_JAVA]

N = 200
NAMES = ("light", "water", "age")
PLACE = "models.seedlings.candidates.one"
ML = "pyspark.ml.classification"
QUICK: dict[str, dict[str, Any]] = {
    "GBT": {"maxIter": 3, "maxDepth": 3, "subsamplingRate": 0.8},
    "LinearRegression": {"regParam": 0.01},
    "LogisticRegression": {"maxIter": 5},
    "RandomForest": {"numTrees": 5, "maxDepth": 4},
    "SparkXGB": {"n_estimators": 5},
}
KIND_OF_TARGET = {"binary": "classes", "regression": "values"}
CASES: list[tuple[str, str, dict[str, Any]]] = [
    (path, KIND_OF_TARGET[kind.tasks[0]], {}) for path, kind in KINDS.items()
] + [
    (f"{ML}.LogisticRegression", "three", {}),
    (f"{ML}.LogisticRegression", "classes", {"family": "multinomial"}),
    (f"{ML}.NaiveBayes", "three", {"modelType": "gaussian"}),
    (f"{ML}.NaiveBayes", "classes", {"modelType": "complement"}),
    ("xgboost.spark.SparkXGBClassifier", "three", {}),
]


@pytest.fixture(scope="module", autouse=True)
def session() -> Iterator[Any]:
    yield from spark.shared()


def matrix() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).uniform(size=(N, 3)).astype(np.float32)


def target(kind: str) -> np.ndarray[Any, Any]:
    score = matrix()[:, 0] + matrix()[:, 1] ** 2
    cut = {"classes": [0.8], "three": [0.6, 1.0]}.get(kind)
    return score.astype(np.float64) if cut is None else np.digitize(score, cut)


def quickly(path: str) -> dict[str, Any]:
    name = path.rpartition(".")[2]
    return next((options for key, options in QUICK.items() if name.startswith(key)), {})


def training(kind: str = "classes") -> TrainingSet:
    task: Any = {"classes": "binary", "three": "multiclass", "values": "regression"}[kind]
    found = target(kind)
    return TrainingSet(
        frame=NamedColumns(NAMES).transform(matrix()),
        target=found,
        features={name: Feature(type="number") for name in NAMES},
        task=task,
        folds=folds(None if kind == "values" else found, n_rows=N, groups=None, k=2, seed=0),
    )


def fit(path: str, given: TrainingSet | None = None, **declared: Any) -> Fitted:
    block = {"trainer": "spark", "estimator": path, "options": quickly(path)} | declared
    given = given or training()
    return SparkTrainer().fit(
        given,
        candidate=Candidate.model_validate(block),
        search=Search(folds=2),
        metric="rmse" if given.task == "regression" else "log_loss",
        place=PLACE,
    )


def refusal(path: str, given: TrainingSet | None = None, **declared: Any) -> str:
    with pytest.raises(TrainingError) as error:
        fit(path, given, **declared)
    return str(error.value)


@pytest.mark.parametrize(("path", "kind", "options"), CASES)
def test_what_spark_fitted_answers_the_same_as_a_graph(
    path: str, kind: str, options: dict[str, Any]
) -> None:
    """OnSpark.fit holds the translation to Spark's answers; here the graph is held to both."""
    rows = matrix()
    if KINDS[path].missing:
        rows[::7, 2] = np.nan
    fitted = OnSpark(path, PLACE, **{**quickly(path), **options}).fit(rows, target(kind))
    columns = TypedColumns({}, []).fit(rows)
    steps = [("names", NamedColumns(NAMES)), ("columns", columns), ("estimator", fitted.fitted_)]
    plain = Pipeline(steps)
    graph = onnxruntime.InferenceSession(plain_bytes(converted(plain)))
    expected, found = predict(plain, rows), graph.run(None, {"features": rows})
    if kind == "values":
        assert expected.values is not None
        assert np.abs(found[0] - expected.values).max() < 1e-6
        return
    assert expected.scores is not None
    assert (found[0] == expected.labels).all()
    assert np.abs(found[1] - expected.scores).max() < 5e-6
    assert np.mean(found[0] == target(kind)) > 0.55


def test_a_search_tries_every_setting_on_the_declared_folds() -> None:
    found = fit(f"{ML}.RandomForestClassifier", search={"maxDepth": [1, 4]})
    assert [trial.hyperparameters for trial in found.trials] == [{"maxDepth": 1}, {"maxDepth": 4}]
    assert found.best.hyperparameters == {"maxDepth": 4}
    assert set(found.best.folds) > {"roc_auc", "ks", "log_loss"}
    assert len(found.best.folds["ks"]) == 2


def test_the_same_training_gives_the_same_bytes() -> None:
    path = f"{ML}.GBTClassifier"
    twice = [OnSpark(path, PLACE, seed=3, **quickly(path)) for _ in range(2)]
    first, second = (each.fit(matrix(), target("classes")).fitted_ for each in twice)
    assert pickle.dumps(first) == pickle.dumps(second)


def test_what_spark_fitted_predicts_where_there_is_no_spark(tmp_path: Path) -> None:
    path = f"{ML}.RandomForestClassifier"
    fitted = OnSpark(path, PLACE, **quickly(path)).fit(matrix(), target("classes")).fitted_
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(fitted))
    np.save(tmp_path / "rows.npy", matrix())
    script = (
        "import pickle, sys, numpy as np\n"
        "sys.modules.update(dict.fromkeys(['pyspark', 'py4j', 'onnx']))\n"
        "model = pickle.load(open('model.pkl', 'rb'))\n"
        "print(model.predict(np.load('rows.npy')).sum())"
    )
    told = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert int(told.stdout) == fitted.predict(matrix()).sum()


def test_missing_values_that_an_estimator_cannot_take_are_told() -> None:
    given = training()
    given.frame.iloc[::7, 0] = np.nan
    told = refusal(f"{ML}.GBTClassifier", given)
    assert told.startswith(f"{PLACE}: {ML}.GBTClassifier takes no missing values, and ")
    assert "SimpleImputer" in told


def test_naive_bayes_of_counts_tells_what_it_cannot_count() -> None:
    given = training()
    given.frame.iloc[5, 1] = -0.25
    assert refusal(f"{ML}.NaiveBayes", given) == (
        f"{PLACE}: {ML}.NaiveBayes with modelType multinomial takes no value below 0, and there is "
        "-0.25; declare `options: {modelType: gaussian}`"
    )


def test_an_estimator_that_cannot_leave_spark_is_told_beside_those_that_can() -> None:
    with pytest.raises(UnknownNameError) as error:
        fit(f"{ML}.FMClassifier")
    told = str(error.value)
    assert told.startswith(f"{PLACE}.estimator: '{ML}.FMClassifier' is no estimator of Spark's")
    assert f"{ML}.GBTClassifier" in told


@pytest.mark.parametrize("kind", ["values", "three"])
def test_an_estimator_of_another_task_is_told(kind: str) -> None:
    given = training(kind)
    told = refusal(f"{ML}.GBTClassifier", given)
    assert f"is for a binary target, and this is a {given.task} one; choose from " in told
    assert f"{ML}.GBTClassifier" not in told.partition("choose from")[2]


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        (
            {"search": {"max_depth": [1]}},
            ".search: {} takes no 'max_depth'; it takes",
        ),
        ({"options": {"trees": 3}}, ".options: {} takes no 'trees'; it takes"),
        ({"options": {"labelCol": "x"}}, ".options: 'labelCol' is not open: columns are chosen"),
        ({"options": {"numTrees": "many"}}, ".options: {} cannot be made: Invalid param value"),
        ({"options": {"numTrees": -1}}, ": {} failed: RandomForestClassifier"),
    ],
)
def test_a_wrong_name_or_value_is_told_with_its_place(declared: dict[str, Any], told: str) -> None:
    path = f"{ML}.RandomForestClassifier"
    assert refusal(path, **declared).startswith(PLACE + told.format(path))


def test_from_collecting_to_the_artifact_with_spark_as_source_and_trainer(project: Project) -> None:
    document = project.document()
    block = document["models"][project.name]
    block["source"] |= {
        "kind": "spark",
        "format": "csv",
        "options": {"header": True, "inferSchema": True, "nullValue": "NA"},
    }
    path = f"{ML}.RandomForestClassifier"
    forest = {"trainer": "spark", "estimator": path, "options": quickly(path)}
    block["candidates"] = {"forest": forest}
    block["search"]["folds"] = 2
    project.write(document)
    for stage in ("collect", "prepare", "train", "evaluate", "gate", "export"):
        run([stage, project.name])
    signature = Signature.model_validate_json(project.paths.signature.read_text())
    assert (signature.runtime, signature.parity.labels_differing) == ("onnx", 0)
    assert signature.lineage.estimator == path
    assert signature.lineage.hyperparameters == quickly(path)
