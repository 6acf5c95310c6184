"""params.yaml → specs: what it may say, and what is told when it says something else."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.conftest import Project
from treeline.config import declared_model, read_params
from treeline.config.models import ModelSpec
from treeline.config.sources import Range, admitted
from treeline.errors import ConfigError

# what is replaced in params.yaml, by what, and what the message must say: place, value, way out
MISTAKES = {
    "unknown key": (
        "strategy: grid",
        "stratgey: grid",
        ["models.seedlings.search.stratgey: not a known key", "found 'grid'", "check its spelling"],
    ),
    "unknown key of a source": (
        "kind: file\n",
        "kind: file\n      delim: ;\n",
        ["models.seedlings.source.delim: not a known key", "found ';'"],
    ),
    "unknown kind of source": (
        "kind: file\n",
        "kind: fil\n",
        ["models.seedlings.source: `kind` is 'fil'; choose from 'simulate', 'file', 'url'"],
    ),
    "source without a kind": (
        "kind: file\n      ",
        "",
        ["models.seedlings.source: `kind` is missing; add it"],
    ),
    "key left out": (
        "    champion: {metric: roc_auc}\n",
        "",
        ["models.seedlings.champion: missing; add it"],
    ),
    "misspelt metric": (
        "metric: roc_auc",
        "metric: roc_auk",
        ["models.seedlings: `champion.metric` names 'roc_auk'", "choose from accuracy, f1, roc"],
    ),
    "metric of another task": (
        "floor: {roc_auc: 0.5}",
        "floor: {rmse: 3}",
        ["`gate.floor` names 'rmse', which is no metric of a binary target", "choose from"],
    ),
    "metric of two classes for three": (
        "task: binary, positive: 1}",
        "task: multiclass}\n    export: {tolerance: ks}",
        ["models.seedlings.export.tolerance: should be a number (found 'ks')"],
    ),
    "target among the features": (
        "Light: {type",
        "Event: {type",
        ["`features` holds the target 'Event'", "may not see it"],
    ),
    "column carried and a feature": (
        "columns: {Plot: integer,",
        "columns: {Plot: integer, Light: number,",
        ["`source.columns` repeats ['Light']"],
    ),
    "key that is a feature": (
        "columns: {Plot: integer,",
        "key: Light\n      columns: {Plot: integer,",
        ["`source.key` names 'Light', a feature or the target", "no model may see a key"],
    ),
    "key that is the target": (
        "columns: {Plot: integer,",
        "key: Event\n      columns: {Plot: integer,",
        ["`source.key` names 'Event', a feature or the target"],
    ),
    "key that is no column": (
        "columns: {Plot: integer,",
        "key: tx\n      columns: {Plot: integer,",
        ["`source.key` names 'tx'; declare it under `source.columns`, as text or integer"],
    ),
    "key of decimal numbers": (
        "columns: {Plot: integer,",
        "key: tx\n      columns: {tx: number, Plot: integer,",
        ["`source.key` names 'tx'; declare it under `source.columns`, as text or integer"],
    ),
    "target named like a key of the answer": (
        "{name: Event,",
        "{name: probability,",
        ["`target.name` is 'probability', which stands in each answer for something else"],
    ),
    "category that is a word for missing": (
        "categories: [Acer, Quercus]",
        "categories: [Acer, NA]",
        [
            "`features.Species` has the value 'NA', which the source takes for a missing one",
            "declare `source.missing: ",
        ],
    ),
    "group that is no column": (
        "group: Plot",
        "group: Pot",
        ["`split.group` names 'Pot', which is no declared column", "declare it under `source.col"],
    ),
    "key of a split that is no column": (
        "group: Plot",
        "key: Pot",
        ["`split.key` names 'Pot', which is no declared column", "declare it under `source.col"],
    ),
    "key beside a group": (
        "group: Plot",
        "group: Plot, key: [Harvest]",
        ["models.seedlings.split: `group` decides the side of a row already; leave out `key`"],
    ),
    "key of rows that are drawn": (
        "group: Plot",
        "rule: drawn, key: Plot",
        ["models.seedlings.split: `rule: drawn` looks at no key"],
    ),
    "moment of no column": (
        "test: 0.25, group: Plot",
        "after: {Pot: 3}",
        ["`split.after` names 'Pot', which is no declared column", "declare it under `source.col"],
    ),
    "moment beside a group": (
        "test: 0.25, group: Plot",
        "after: {Light: 0.5}, group: Plot",
        ["models.seedlings.split: `after` decides the side of a row already; leave out `group`"],
    ),
    "moment beside a key": (
        "test: 0.25, group: Plot",
        "after: {Light: 0.5}, key: Plot",
        ["`after` decides the side of a row already; leave out `key`"],
    ),
    "moment beside a fraction": (
        "test: 0.25, group: Plot",
        "after: {Light: 0.5}, test: 0.25",
        ["`after` decides the side of a row already; leave out `test`"],
    ),
    "moment beside rows that are drawn": (
        "test: 0.25, group: Plot",
        "after: {Light: 0.5}, rule: drawn",
        ["`after` decides the side of a row already; leave out `rule`"],
    ),
    "moments of two columns": (
        "test: 0.25, group: Plot",
        "after: {Light: 0.5, Plot: 3}",
        ["models.seedlings.split.after: "],
    ),
    "moment that is no time": (
        "test: 0.25, group: Plot",
        "after: {Plot: 31.1.2026}",
        ["split.after: `Plot` is '31.1.2026'; give a number, or a time in quotes"],
    ),
    "date without quotes": (
        "test: 0.25, group: Plot",
        "after: {Plot: 2026-01-31}",
        ["models.seedlings.split.after.Plot: ", "a text (put it in quotes)"],
    ),
    "time of a number": (
        "test: 0.25, group: Plot",
        "after: {Plot: '2026-01-31'}",
        ["`split.after` sets 'Plot' (integer) beside '2026-01-31'; name a number and its value"],
    ),
    "moment of a category": (
        "test: 0.25, group: Plot",
        "after: {Species: 3}",
        ["`split.after` sets 'Species' (category) beside 3; name a number and its value"],
    ),
    "moment of the target": (
        "test: 0.25, group: Plot",
        "after: {Event: 0}",
        ["`split.after` sets 'Event' (target) beside 0"],
    ),
    "moment beside folds of all rows": (
        "test: 0.25, group: Plot, seed: 0}",
        "after: {Light: 0.5}}\n    evaluation: {folds: 5}",
        ["`evaluation.folds` would let later rows predict earlier ones", "leave out one of them"],
    ),
    "target as key": (
        "group: Plot",
        "key: [Plot, Event]",
        ["`split.key` names the target 'Event', which may be corrected later"],
    ),
    "baseline that may win and is none": (
        "{metric: roc_auc}",
        "{metric: roc_auc, baseline: may_win}",
        ["`champion.baseline` may win, and there is none; declare `candidates.baseline`"],
    ),
    "where that is no column": (
        "where: {Harvest: 0}",
        "where: {Harvested: 0}",
        ["`source.where` names 'Harvested', which is no declared column", "declare it under"],
    ),
    "where of no value": (
        "where: {Harvest: 0}",
        "where: {Harvest: }",
        ["models.seedlings.source.where.Harvest: should be true or false, a whole", "nothing"],
    ),
    "where with a misspelt limit": (
        "where: {Harvest: 0}",
        "where: {Harvest: {min: 0}}",
        ["models.seedlings.source.where.Harvest.min: not a known key"],
    ),
    "where of no limits": (
        "where: {Harvest: 0}",
        "where: {Harvest: {}}",
        ["models.seedlings.source.where.Harvest: give `minimum`, `maximum` or both"],
    ),
    "where with its limits swapped": (
        "where: {Harvest: 0}",
        "where: {Harvest: {minimum: 2, maximum: 1}}",
        ["models.seedlings.source.where.Harvest: `minimum` 2 is above `maximum` 1"],
    ),
    "range in a grid": (
        "search: {C: [0.1, 1]}",
        "search: {C: {low: 0.1, high: 1}}",
        ["`candidates.logistic.search.C` is a range, which a grid cannot walk", "list its values"],
    ),
    "range upside down": (
        "search: {C: [0.1, 1]}",
        "search: {C: {low: 1, high: 0.1}}",
        ["models.seedlings.candidates.logistic.search.C: `low` 1 must be below `high` 0.1"],
    ),
    "logarithmic range from 0": (
        "search: {C: [0.1, 1]}",
        "search: {C: {low: 0, high: 1, log: true}}",
        ["models.seedlings.candidates.logistic.search.C: `low` 0 must be above 0"],
    ),
    "half a range": (
        "search: {C: [0.1, 1]}",
        "search: {C: {low: 0.1}}",
        ["models.seedlings.candidates.logistic.search.C.high: missing; add it"],
    ),
    "search over one value": (
        "search: {C: [0.1, 1]}",
        "search: {C: 1}",
        ["models.seedlings.candidates.logistic.search.C: should be a list or a block of", "1)"],
    ),
    "search over nothing": (
        "search: {C: [0.1, 1]}",
        "search: {C: []}",
        ["models.seedlings.candidates.logistic.search.C: ", "at least 1 item"],
    ),
    "category without a list": (
        "categories: [Acer, Quercus]",
        "nullable: true",
        ["models.seedlings.features.Species: `categories` goes with `type: category`"],
    ),
    "category named twice": (
        "[Acer, Quercus]",
        "[Acer, Acer]",
        ["models.seedlings.features.Species: `categories` names one category twice"],
    ),
    "category that is a number": (
        "[Acer, Quercus]",
        "[Acer, 2]",
        ["models.seedlings.features.Species.categories.1: should be a text", "quotes", "found 2"],
    ),
    "fill out of bounds": (
        "fill: 0}",
        "fill: 101}",
        ["models.seedlings.features.EMF: `fill` 101.0 is not admitted: give a number from 0 to"],
    ),
    "bounds upside down": (
        "minimum: 0, maximum: 1}",
        "minimum: 2, maximum: 1}",
        ["models.seedlings.features.Light: `minimum` 2 is above `maximum` 1"],
    ),
    "feature without a type": (
        "Light: {type: number, minimum: 0, maximum: 1}",
        "Light: number",
        ["models.seedlings.features.Light: should be a block of keys (found 'number')"],
    ),
    "binary target without its positive class": (
        ", positive: 1}",
        "}",
        ["models.seedlings.target: `positive` names the positive class of a binary target"],
    ),
    "threshold that is no number": (
        "floor: {roc_auc: 0.5}",
        "floor: {roc_auc: high}",
        ["models.seedlings.gate.floor.roc_auc: should be a number (found 'high')"],
    ),
    "search strategy that does not exist": (
        "strategy: grid",
        "strategy: bayes",
        [
            "models.seedlings.search.strategy: should be 'grid', 'random', 'halving' or 'optuna'",
            "'bayes'",
        ],
    ),
    "test fraction of everything": (
        "test: 0.25",
        "test: 1",
        ["models.seedlings.split.test: should be less than 1 (found 1)"],
    ),
    "file that DVC does not version": (
        "dataset/sources/file/seedlings.csv",
        "/home/me/seedlings.csv",
        ["models.seedlings.source.path: '/home/me/seedlings.csv' is not under", "make adopt"],
    ),
    "file outside by way of dots": (
        "dataset/sources/file/seedlings.csv",
        "dataset/sources/file/../../seedlings.csv",
        ["models.seedlings.source.path: 'dataset/sources/file/../../", "make adopt"],
    ),
    "model whose name is no slug": (
        "models:\n  seedlings:",
        "models:\n  Seed_lings:",
        ["models.Seed_lings: a name is made of lowercase letters", "call it 'seed_lings'"],
    ),
    "candidate whose name is no slug": (
        "logistic:",
        "Logistic Regression:",
        ["models.seedlings.candidates.Logistic Regression: a name is made of lowercase letters"],
    ),
    "default that is not declared": (
        "default: seedlings",
        "default: saplings",
        ["document: `default` names 'saplings', which is not under `models`"],
    ),
    "only the baseline competes": (
        "logistic:",
        "baseline:",
        ["models.seedlings: `candidates` holds only the baseline", "add one"],
    ),
    "window of no duration": (
        "    gate: {",
        "    monitor: {window: 7 days}\n    gate: {",
        ["models.seedlings.monitor.window: give hours, days or weeks", "found '7 days'"],
    ),
    "slice that no log holds": (
        "    gate: {",
        "    monitor: {slices: [Plot]}\n    gate: {",
        ["models.seedlings: `monitor.slices` names 'Plot', which is no feature"],
    ),
    "unknown key of what is watched": (
        "    gate: {",
        "    monitor: {windows: 7d}\n    gate: {",
        ["models.seedlings.monitor.windows: not a known key"],
    ),
    "alarm of nothing": (
        "    gate: {",
        "    monitor: {alarms: [input]}\n    gate: {",
        ["models.seedlings.monitor.alarms.0: should be 'inputs', 'answers', 'quality'", "'input'"],
    ),
    "key twice": (
        "    gate: {",
        "    gate: {}\n    gate: {",
        ['not valid YAML: found duplicate key "gate"', "(line 23, column 5); remove one"],
    ),
    "bracket left open": (
        "gate: {floor: {roc_auc: 0.5}, beats: null}",
        "gate: {floor: {roc_auc: 0.5}",
        ["not valid YAML: ", "(line "],
    ),
}


@pytest.mark.parametrize(("old", "new", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_its_place_its_value_and_the_way_out(
    project: Project, old: str, new: str, words: list[str]
) -> None:
    project.replace(old, new)
    with pytest.raises(ConfigError) as error:
        project.read()
    lines = str(error.value).splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"{project.params}: ")
    assert [word for word in words if word not in lines[0]] == [], lines[0]


def test_names_may_have_underscores_but_not_differ_in_them_alone(project: Project) -> None:
    project.replace("default: seedlings", "default: my_seedlings")
    project.replace("models:\n  seedlings:", "models:\n  my_seedlings: &one")
    assert list(project.read().models) == ["my_seedlings"]
    document = project.params.read_text()
    project.params.write_text(f"{document.rstrip()}\n  my-seedlings: *one\n")
    with pytest.raises(ConfigError) as error:
        project.read()
    assert "'my_seedlings' and 'my-seedlings' differ in hyphens and underscores only" in str(
        error.value
    )


def test_every_mistake_is_told_at_once(project: Project) -> None:
    project.replace("strategy: grid", "strategy: bayes")
    project.replace("fill: 0}", "fill: 101}")
    project.replace("metric: roc_auc", "metrics: roc_auc")
    with pytest.raises(ConfigError) as error:
        project.read()
    places = [line.split(": ")[1] for line in str(error.value).splitlines()]
    assert places == [
        "models.seedlings.features.EMF",
        "models.seedlings.search.strategy",
        "models.seedlings.champion.metric",
        "models.seedlings.champion.metrics",
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    {
        "empty": (b"", ["document: should be a block of keys", "found nothing"]),
        "list": (b"- a\n", ["document: should be a block of keys", "found ['a']"]),
        "not UTF-8": (b"default: \xe9\n", ["not UTF-8", "save it as UTF-8"]),
    }.values(),
    ids=["empty", "list", "not UTF-8"],
)
def test_a_file_that_holds_no_declaration_is_refused(
    project: Project, content: bytes, words: list[str]
) -> None:
    project.params.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        project.read()
    assert [word for word in words if word not in str(error.value)] == [], str(error.value)


def test_a_missing_file_is_told_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"params\.yaml: not found; run this from the root"):
        read_params(tmp_path / "params.yaml")


def test_a_model_that_is_not_declared_is_told_beside_those_that_are(project: Project) -> None:
    with pytest.raises(ConfigError, match=r"models\.saplings: not declared; declared are seedling"):
        declared_model("saplings")


def test_a_declared_model_comes_with_its_paths(project: Project) -> None:
    spec, paths = declared_model("seedlings")
    assert spec.target.name == "Event"
    assert paths.raw == Path("dataset/seedlings/raw.parquet")


def test_the_name_of_the_folder_of_sources_is_taken(project: Project) -> None:
    text = project.params.read_text()
    project.params.write_text(
        text.replace("  seedlings:", "  sources:").replace("default: seedlings", "default: sources")
    )
    with pytest.raises(ConfigError, match="a model cannot be called 'sources'; give it another"):
        project.read()


def test_another_model_is_one_more_block(project: Project) -> None:
    document = project.document()
    block = {**document["models"]["seedlings"], "target": {"name": "Height", "task": "regression"}}
    document["models"]["heights"] = {**block, "champion": {"metric": "rmse"}, "gate": {}}
    project.write(document)
    assert project.read().models.keys() == {"seedlings", "heights"}


def test_numbers_are_those_of_yaml_1_2(project: Project) -> None:
    project.replace("[0.1, 1]", "[1e-3, 1E2, 0o10]")
    assert project.spec.candidates["logistic"].search["C"] == (0.001, 100.0, 8)


def test_words_that_yaml_1_1_took_for_booleans_are_words(project: Project) -> None:
    project.replace("[Acer, Quercus]", "[off, yes, no, on]")
    assert project.spec.features["Species"].categories == ("off", "yes", "no", "on")


def test_a_byte_order_mark_is_no_part_of_the_declaration(project: Project) -> None:
    project.params.write_bytes(b"\xef\xbb\xbf" + project.params.read_bytes())
    assert project.read().default == "seedlings"


@pytest.mark.parametrize(
    "written",
    [
        "sklearn.preprocessing.StandardScaler",
        "[sklearn.preprocessing.StandardScaler]",
        "{class: sklearn.preprocessing.StandardScaler}",
        "[{class: sklearn.preprocessing.StandardScaler, options: {}}]",
    ],
    ids=["a path", "a list of paths", "a step", "a list of steps"],
)
def test_one_step_can_be_written_in_four_ways(project: Project, written: str) -> None:
    project.replace("search: {C: [0.1, 1]}", f"numbers: {written}")
    (step,) = project.spec.candidates["logistic"].numbers
    assert step.class_path == "sklearn.preprocessing.StandardScaler"


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (Range(minimum=1, maximum=2.5), "at least 1 and at most 2.5"),
        (Range(maximum=3), "at most 3"),
        (("a", 2), "one of a, 2"),
        (0, "0"),
    ],
    ids=["both limits", "one limit", "list", "value"],
)
def test_a_condition_on_rows_can_be_said_in_words(condition: object, words: str) -> None:
    assert admitted(condition) == words


def test_the_declaration_of_this_repository_is_good() -> None:
    params = read_params(Path(__file__).parents[2] / "params.yaml")
    assert params.default in params.models


def test_folds_are_declared_as_a_number_or_all(declaration: dict[str, Any]) -> None:
    for folds in (2, 18, "all", None):
        spec = ModelSpec.model_validate(declaration | {"evaluation": {"folds": folds}})
        assert spec.evaluation.folds == folds
    for wrong in ({"folds": 1}, {"folds": "some"}, {"folds": "all", "repeats": 2}, {"repeats": 2}):
        with pytest.raises(ValidationError):
            ModelSpec.model_validate(declaration | {"evaluation": wrong})


def test_folds_are_refused_for_what_is_not_refitted(declaration: dict[str, Any]) -> None:
    declaration["candidates"]["auto"] = {"trainer": "h2o", "options": {"models": 1}}
    declaration["evaluation"] = {"folds": 5}
    with pytest.raises(ValidationError, match="`trainer: h2o` does not let"):
        ModelSpec.model_validate(declaration)


def test_a_quantile_is_a_metric_of_a_regression_only(declaration: dict[str, Any]) -> None:
    declaration["champion"] = {"metric": "pinball_90"}
    with pytest.raises(ValidationError, match="no metric of a binary target"):
        ModelSpec.model_validate(declaration)
    declaration |= {"target": {"name": "Event", "task": "regression"}, "gate": {}}
    spec = ModelSpec.model_validate(declaration)
    assert spec.metrics[-1] == "pinball_90"
    declaration["champion"] = {"metric": "pinball_0"}
    with pytest.raises(ValidationError, match="rmse, mae, r2, pinball_1 to pinball_99"):
        ModelSpec.model_validate(declaration)
