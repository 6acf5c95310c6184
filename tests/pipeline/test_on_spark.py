"""Past one machine: a standalone cluster of two workers runs the pipeline of one declaration."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.commanding import treeline
from tests.conftest import NAME, Project
from tests.scoring.test_locally import seedlings
from tests.spark_cluster import cluster
from tests.tiny_models import SURVIVAL, write_model
from treeline.config import Layout
from treeline.config.models import Candidate, Search
from treeline.contract.signature import Signature
from treeline.errors import DataError, TrainingError
from treeline.preparation import PREPARERS, whole
from treeline.registry import resolve
from treeline.stages.collect import collect
from treeline.stages.digest import write_code, write_inputs
from treeline.stages.evaluate import evaluate
from treeline.stages.export import export
from treeline.stages.gate import gate
from treeline.stages.prepare import prepare
from treeline.stages.train import train
from treeline.trainers import Fitted, TrainingSet
from treeline.trainers.contest import training_set
from treeline.trainers.sklearn import SklearnTrainer

pytest.importorskip("pyspark", reason="needs pyspark: make setup-engines")
pytestmark = [
    pytest.mark.skipif(shutil.which("java") is None, reason="needs Java 17"),
    pytest.mark.xdist_group("spark"),
]

STAGES = (collect, prepare, train, evaluate, gate, export)
XGBOOST = "xgboost.spark.SparkXGBClassifier"


@pytest.fixture(scope="module", autouse=True)
def on_a_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Start two workers, and keep one session for all tests: each would take ten seconds more."""
    from treeline.engines.spark import session  # noqa: PLC0415  (where pyspark is installed)

    with (
        cluster(tmp_path_factory.mktemp("cluster") / "spark") as url,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("SPARK_MASTER", url)
        with session("tests"):
            yield


@pytest.fixture
def declared(project: Project) -> Project:
    """Declare Spark wherever it can be, for seedlings that only trees can tell apart."""
    rng, rows = np.random.default_rng(0), 900
    light, fungi = rng.uniform(size=rows), rng.integers(0, 100, rows)
    dies = (light > 0.5) ^ (fungi > 50) ^ (rng.uniform(size=rows) < 0.05)
    columns: dict[str, Any] = {
        "Plot": np.arange(rows) % 30,
        "Species": np.where(rng.uniform(size=rows) < 0.5, "Acer", "Quercus"),
        "Light": light,
        "EMF": pa.array(fungi.astype(float), mask=np.arange(rows) % 7 == 0),
        "Event": pa.array(dies.astype(int), mask=np.arange(rows) % 300 == 5),
        "Harvest": (np.arange(rows) % 10 == 9) * 1,
        "Remark": ["of no concern"] * rows,
    }
    folder = project.root / "lake"
    folder.mkdir()
    table = pa.table(columns)
    for part in range(3):
        parquet.write_table(table.slice(part * 300, 300), folder / f"{part}.parquet")
    document = project.document()
    model = document["models"][NAME]
    model["source"] |= {"kind": "spark", "path": str(folder), "order_by": ["Plot", "Light"]}
    model["split"]["engine"] = "spark"
    trees = {"n_estimators": 12, "max_depth": 3, "num_workers": 2}
    model["candidates"]["boosting"] = {
        "trainer": "spark",
        "estimator": XGBOOST,
        "categories": "codes",
        "options": trees,
    }
    model["search"] = {"strategy": "grid", "folds": 2, "engine": "spark"}
    project.write(document)
    return project


def collected(project: Project) -> Layout:
    collect(project.spec, project.paths)
    return project.paths


def test_one_declaration_goes_from_rows_to_scores_on_the_cluster(declared: Project) -> None:
    write_code()
    write_inputs()
    for stage in STAGES:
        stage(declared.spec, declared.paths)
    signature = Signature.read(declared.paths.signature)
    assert (signature.runtime, signature.lineage.champion) == ("onnx", "boosting")
    assert signature.lineage.estimator == XGBOOST
    assert [path.name for path in declared.paths.artifact.iterdir()] == ["model.onnx"]
    found = {}
    for engine in ("local", "spark"):
        command = [NAME, str(declared.paths.raw), engine, "--keep", "Light", "--keep", "Plot"]
        treeline("score", *command, "--engine", engine)
        found[engine] = pd.read_parquet(engine).sort_values(["Plot", "Light"], ignore_index=True)
    assert len(found["spark"]) == 900
    pd.testing.assert_frame_equal(found["spark"], found["local"], check_exact=True)


def test_rows_prepared_on_the_cluster_are_the_very_same_files(declared: Project) -> None:
    here = collected(declared)
    there = replace(here, root=Path("there"))
    there.dataset.mkdir(parents=True)
    shutil.copy(here.raw, there.raw)
    on_spark = resolve(PREPARERS, "spark", place="split.engine")
    assert whole.prepare_files(declared.spec, here) == on_spark(declared.spec, there)
    assert here.train.read_bytes() == there.train.read_bytes()
    assert here.test.read_bytes() == there.test.read_bytes()
    assert {path.name for path in there.dataset.iterdir()} == {
        "raw.parquet",
        "train.parquet",
        "test.parquet",
    }


def test_a_value_not_admitted_is_named_by_row_as_without_spark(declared: Project) -> None:
    paths = collected(declared)
    raw = pd.read_parquet(paths.raw)
    raw.loc[raw.index[raw["Harvest"] == 0][40], "Light"] = 1.5
    raw.to_parquet(paths.raw)
    told = []
    for engine in PREPARERS:
        prepare_files = resolve(PREPARERS, engine, place="split.engine")
        with pytest.raises(DataError, match=r"1\.5 is not admitted") as refused:
            prepare_files(declared.spec, paths)
        told.append(str(refused.value))
    assert told[0] == told[1]
    assert not paths.train.exists()


def learnt(rows: TrainingSet, candidate: Candidate, **search: Any) -> Fitted:
    return SklearnTrainer().fit(
        rows,
        candidate=candidate,
        search=Search(folds=3, **search),
        metric="log_loss",
        place="models.seedlings.candidates.one",
    )


@pytest.fixture
def rows(declared: Project) -> TrainingSet:
    paths = collected(declared)
    whole.prepare_files(declared.spec, paths)
    return training_set(pd.read_parquet(paths.train), declared.spec, [0.0, 1.0])


@pytest.mark.parametrize("strategy", ["grid", "random"])
def test_trials_on_the_cluster_are_those_of_one_machine_to_the_last_digit(
    rows: TrainingSet, strategy: str
) -> None:
    options = {"n_estimators": 20, "subsample": 0.8, "tree_method": "hist"}
    searched = {"max_depth": [2, 3], "learning_rate": [0.1, 0.2, 0.3]}
    candidate = Candidate(
        estimator="xgboost.XGBClassifier", categories="codes", options=options, search=searched
    )
    local, spark = (
        learnt(rows, candidate, strategy=strategy, trials=4, engine=engine)
        for engine in ("local", "spark")
    )
    assert len(local.trials) == {"grid": 6, "random": 4}[strategy]
    assert spark.trials == local.trials
    assert spark.best == local.best


def test_what_an_estimator_raises_in_a_worker_is_told_as_on_one_machine(rows: TrainingSet) -> None:
    declared = {"C": [1.0, -1.0]}
    candidate = Candidate(estimator="sklearn.linear_model.LogisticRegression", search=declared)
    told = []
    for engine in ("local", "spark"):
        with pytest.raises(TrainingError, match="The 'C' parameter") as refused:
            learnt(rows, candidate, engine=engine)
        told.append(str(refused.value))
    assert told[0] == told[1]


def test_bad_rows_found_by_workers_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    write_model(tmp_path / "model", SURVIVAL)
    table = seedlings(1000).to_pydict()
    table["Light_ISF"][700] = 1.7
    parquet.write_table(pa.table(table), tmp_path / "rows.parquet")
    paths = [str(tmp_path / name) for name in ("rows.parquet", "scored", "model")]
    command = [SURVIVAL.name, *paths[:2], "--models", paths[2], "--engine", "spark"]
    with pytest.raises(DataError, match=r"rows\.parquet, row 701: Light_ISF: 1\.7 is not admitted"):
        treeline("score", *command)
    assert {path.name for path in tmp_path.iterdir()} == {"model", "rows.parquet"}
    assert "1,000 rows" in str(treeline("score", *command, "--bad-rows", "report"))
    found = pd.read_parquet(tmp_path / "scored")
    assert found["prediction"].isna().sum() == found["error"].notna().sum() == 1
