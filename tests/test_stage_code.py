"""Which code a stage follows, by what its model declares."""

from pathlib import Path
from typing import Any

import pytest

import treeline
from treeline.code import Module, read_modules
from treeline.config.models import ModelSpec
from treeline.stage_code import stage_code


@pytest.fixture(scope="module")
def modules() -> dict[str, Module]:
    return read_modules(Path(treeline.__file__).parent)


SQL = {"kind": "sql", "url": "sqlite:///rows.sqlite", "table": "rows"}


@pytest.mark.parametrize(
    ("keys", "value", "followed"),
    [
        (("candidates", "logistic", "trainer"), "compare", ("train", "trainers.compare")),
        (("candidates", "logistic", "trainer"), "h2o", ("train", "trainers.h2o")),
        (("candidates", "logistic", "trainer"), "h2o", ("evaluate", "artifact.h2o")),
        (("search", "strategy"), "optuna", ("train", "trainers.optuna")),
        (("search", "engine"), "spark", ("train", "engines.spark")),
        (("split", "engine"), "spark", ("prepare", "preparation.on_spark")),
        (("source",), SQL, ("collect", "sources.sql.tables")),
        (
            ("candidates", "logistic", "preprocessors"),
            "treeline.trainers.preprocessors.KeepColumns",
            ("export", "trainers.preprocessors"),
        ),
    ],
)
def test_a_stage_follows_what_its_model_declares_and_not_what_others_might(
    modules: dict[str, Module],
    declaration: dict[str, Any],
    keys: tuple[str, ...],
    value: Any,
    followed: tuple[str, str],
) -> None:
    stage, module = followed
    without = stage_code(ModelSpec.model_validate(declaration), modules)
    block = declaration
    for key in keys[:-1]:
        block = block[key]
    if value == SQL:
        value = SQL | {"columns": declaration["source"]["columns"]}
        declaration["source"].pop("where")
    if value in ("compare", "h2o"):
        del block["estimator"], block["search"]
    block[keys[-1]] = value
    spec = ModelSpec.model_validate(declaration)
    assert f"treeline.{module}" in stage_code(spec, modules)[stage]
    if stage != "evaluate":  # which may write a graph of any estimator
        assert f"treeline.{module}" not in without[stage]
