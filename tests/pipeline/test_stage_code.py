"""Which code and which keys a stage follows, by what its model declares."""

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

import treeline
from treeline.config.models import ModelSpec
from treeline.export.provenance import params_digest
from treeline.stages.dependencies import IGNORES, STAGES, stage_code, stage_inputs
from treeline.stages.modules import Module, read_modules


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


# A key of the declaration, another value, and the stages that must run again for it.
ALL = STAGES
EDITS: list[tuple[tuple[str, ...], Any, tuple[str, ...]]] = [
    (("description",), "Will it live?", ("evaluate", "gate", "export")),
    (("source", "where"), {}, ("collect", "prepare", "evaluate", "gate", "export")),
    (("target", "positive"), 0, ALL[1:]),
    (("features", "Light", "maximum"), 2, ALL[1:]),
    (("split", "seed"), 1, ALL[1:]),
    (("candidates", "logistic", "search"), {"C": [1]}, ALL[2:]),
    (("candidates", "logistic", "options"), {"class_weight": {0: 1, 1: 2}}, ALL[2:]),
    (("search", "folds"), 4, ALL[2:]),
    (("champion", "metric"), "accuracy", ALL[2:]),
    (("evaluation",), {"folds": "all"}, ("evaluate", "gate", "export")),
    (("gate", "floor"), {"roc_auc": 0.6}, ("evaluate", "gate", "export")),
    (("export",), "required", ("evaluate", "gate", "export")),
    (("monitor",), {"window": "1d", "action": "retrain"}, ()),
]


def inputs(declaration: dict[str, Any], *, default: bool = True) -> dict[str, str]:
    """Return, by stage, what it follows, as the text that DVC takes a hash of."""
    followed = stage_inputs(ModelSpec.model_validate(declaration), {}, default=default)
    return {stage: json.dumps(each) for stage, each in followed.items()}


def changed(before: dict[str, str], after: dict[str, str]) -> tuple[str, ...]:
    return tuple(stage for stage in STAGES if before[stage] != after[stage])


@pytest.mark.parametrize(("keys", "value", "stages"), EDITS)
def test_a_stage_follows_the_keys_that_can_change_its_result(
    declaration: dict[str, Any], keys: tuple[str, ...], value: Any, stages: tuple[str, ...]
) -> None:
    before, block = inputs(declaration), declaration
    for key in keys[:-1]:
        block = block[key]
    block[keys[-1]] = value
    assert changed(before, inputs(declaration)) == stages


def test_every_key_of_a_block_is_in_the_table_above_or_is_words() -> None:
    assert {keys[0] for keys, _, _ in EDITS} | {"notes"} == set(ModelSpec.model_fields)
    assert set().union(*IGNORES.values()) <= set(ModelSpec.model_fields)


def test_what_is_watched_in_service_makes_no_other_model(declaration: dict[str, Any]) -> None:
    before = params_digest(ModelSpec.model_validate(declaration))
    watched = declaration | {"monitor": {"rows": 500}}
    assert params_digest(ModelSpec.model_validate(watched)) == before
    other = declaration | {"description": "Will it live?"}
    assert params_digest(ModelSpec.model_validate(other)) != before


def test_what_is_declared_as_it_is_anyway_changes_nothing(declaration: dict[str, Any]) -> None:
    before = inputs(declaration)
    declaration["split"] = {"seed": 0, "engine": "local"} | declaration["split"]
    assert changed(before, inputs(dict(reversed(declaration.items())))) == ()


def test_features_in_another_order_are_another_matrix(declaration: dict[str, Any]) -> None:
    before = inputs(declaration)
    declaration["features"] = dict(reversed(declaration["features"].items()))
    assert changed(before, inputs(declaration)) == ALL[1:]


def test_the_default_model_is_named_in_its_signature(declaration: dict[str, Any]) -> None:
    assert changed(inputs(declaration), inputs(declaration, default=False)) == ("export",)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({0: 20}, {"0": 20}),
        ({"a": 1}, {"a": 1.5}),
        ({"a": 1}, {"a": "1"}),
        ({"a": True}, {"a": "true"}),
        ({"a": None}, {}),
        ({"a": float("inf")}, {"a": "inf"}),
        ({"a": date(2026, 1, 2)}, {"a": "2026-01-02"}),
        ({"a": date(2026, 1, 2)}, {"a": datetime(2026, 1, 2)}),
        ({True: 1}, {"true": 1}),
    ],
)
def test_values_of_other_types_are_other_declarations(
    declaration: dict[str, Any], one: Any, other: Any
) -> None:
    candidate = declaration["candidates"]["logistic"]
    candidate["options"] = {"anything": one}
    before = inputs(declaration)
    candidate["options"] = {"anything": other}
    assert changed(before, inputs(declaration)) == ALL[2:]
