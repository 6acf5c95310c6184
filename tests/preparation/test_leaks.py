"""Tables with and without what gives the answer away, and what is said of them."""

from collections.abc import Callable
from time import process_time
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from treeline.config.blocks import Leaks
from treeline.config.models import ModelSpec
from treeline.evaluation.gate import copied, judge_leaks, sentences
from treeline.preparation.leaks import leaks, of_frames
from treeline.records.summary import LeakRecord, Twins

N = 600
KINDS: tuple[Literal["telling", "ids", "clocks", "groups"], ...] = (
    "telling",
    "ids",
    "clocks",
    "groups",
)

Table = Callable[[np.random.Generator], dict[str, Any]]


def logistic(rng: np.random.Generator, signal: Any) -> Any:
    return (rng.random(len(signal)) < 1 / (1 + np.exp(-signal))).astype(int)


def honest(rng: np.random.Generator) -> dict[str, Any]:
    a, b = rng.normal(size=(2, N))
    return {"a": a, "b": b, "t": logistic(rng, a + b)}


def tripled_noise(rng: np.random.Generator) -> dict[str, Any]:
    rows = np.tile(np.arange(N // 3), 3)
    a, b = rng.normal(size=(2, N // 3))
    return {"a": a[rows], "b": b[rows], "t": rng.integers(0, 2, N // 3)[rows]}


def few_combinations(rng: np.random.Generator) -> dict[str, Any]:
    a, b = rng.integers(0, 4, (2, N))
    return {"a": a, "b": b, "t": logistic(rng, a - b)}


def alike_categories(rng: np.random.Generator) -> dict[str, Any]:
    a = rng.integers(0, 5, N)
    b = np.where(rng.random(N) < 0.8, a, rng.integers(0, 5, N))
    return {"a": a, "b": b, "t": logistic(rng, a - 2.0)}


def copied_target(rng: np.random.Generator) -> dict[str, Any]:
    table = honest(rng)
    return table | {"b": table["t"] * 2.0 + 1}


def noisy_copy(rng: np.random.Generator) -> dict[str, Any]:
    table = honest(rng)
    return table | {"b": table["t"] + 0.01 * rng.normal(size=N)}


def strong_feature(rng: np.random.Generator) -> dict[str, Any]:
    a, b = rng.normal(size=(2, N))
    return {"a": a, "b": b, "t": logistic(rng, 6 * a)}


def numbered(rng: np.random.Generator) -> dict[str, Any]:
    return honest(rng) | {"b": np.arange(N) + 1000}


def shuffled_ids(rng: np.random.Generator) -> dict[str, Any]:
    return honest(rng) | {"b": rng.permutation(N) * 10}


def whole_money(rng: np.random.Generator) -> dict[str, Any]:
    return honest(rng) | {"b": np.round(np.exp(rng.normal(8, 1, N)))}


def clock(rng: np.random.Generator) -> dict[str, Any]:
    """The target has regimes of 15 rows, which a time tells of, but not of those to come."""
    regime = rng.integers(0, 2, N // 15).repeat(15)
    return {"a": rng.normal(size=N), "b": np.arange(N) + rng.random(N), "t": regime}


def harmless_clock(rng: np.random.Generator) -> dict[str, Any]:
    table = honest(rng)
    return table | {"b": np.arange(N) + rng.random(N)}


def trend(rng: np.random.Generator) -> dict[str, Any]:
    time = np.arange(N) / N
    return {"a": rng.normal(size=N), "b": time, "t": logistic(rng, time - 0.5)}


def patients(rng: np.random.Generator) -> dict[str, Any]:
    who = rng.permutation(np.arange(60).repeat(10))
    noise = rng.normal(size=N)
    ill = rng.integers(0, 2, 60)[who]
    return {"a": rng.normal(size=N), "b": rng.normal(size=60)[who] + noise, "t": ill, "who": who}


def plain_groups(rng: np.random.Generator) -> dict[str, Any]:
    return honest(rng) | {"who": rng.permutation(np.arange(60).repeat(10))}


def as_numbers(values: Any) -> Table:
    """Return a table with a column of whole numbers; `values` makes N of them, in any order."""

    def table(rng: np.random.Generator) -> dict[str, Any]:
        return honest(rng) | {"b": rng.permutation(values(rng))}

    return table


WHOLE: dict[str, tuple[Any, str | None]] = {
    "ids with gaps": (lambda rng: rng.choice(N * 3 // 2, N, replace=False), "ids"),
    "ids from far": (lambda _: np.arange(N) + 7_000_000, "ids"),
    "ids by hundreds": (lambda _: np.arange(N) * 100, "ids"),
    "cents of amounts": (lambda rng: rng.choice(1_000_000, N, replace=False), None),
    "cents of few amounts": (lambda rng: rng.choice(5 * N, N, replace=False), None),
    "seconds of random times": (lambda rng: 1_700_000_000 + rng.choice(10**7, N, False), None),
    "a time each minute": (lambda _: 1_700_000_000 + 60 * np.arange(N), None),
    "a time each day": (lambda _: 86_400 * (19_000 + np.arange(N)), None),
    "milliseconds of each day": (lambda _: 86_400_000 * (19_000 + np.arange(N)), None),
    "days of a calendar, each once": (lambda _: 19_000 + np.arange(N), "ids"),
    "beyond whole doubles": (lambda _: 2.0**60 + 2.0**10 * np.arange(N), None),
}
CASES: dict[str, tuple[Table, str | None]] = {
    **{name: (as_numbers(values), found) for name, (values, found) in WHOLE.items()},
    "honest": (honest, None),
    "tripled noise": (tripled_noise, "twins"),
    "few combinations": (few_combinations, None),
    "alike categories": (alike_categories, None),
    "a copy of the target": (copied_target, "telling"),
    "a noisy copy of it": (noisy_copy, "telling"),
    "a strong feature": (strong_feature, None),
    "numbered rows": (numbered, "ids"),
    "shuffled ids": (shuffled_ids, "ids"),
    "whole money": (whole_money, None),
    "a clock": (clock, "clocks"),
    "a harmless clock": (harmless_clock, None),
    "a trend": (trend, None),
    "patients": (patients, "groups"),
    "groups without a luck": (plain_groups, None),
}


def declared(features: list[str], *, task: str = "binary", columns: Any = None) -> ModelSpec:
    target = {"name": "t", "task": task} | ({"positive": 1} if task == "binary" else {})
    return ModelSpec.model_validate(
        {
            "source": {"kind": "library", "dataset": "iris", "columns": columns or {}},
            "target": target,
            "features": {name: {"type": "number", "nullable": True} for name in features},
            "split": {},
            "candidates": {"dummy": {"estimator": "sklearn.dummy.DummyClassifier"}},
            "search": {},
            "champion": {"metric": "rmse" if task == "regression" else "accuracy"},
            "gate": {},
        }
    )


def suspicions(frame: pd.DataFrame, spec: ModelSpec, *, seed: int = 0) -> LeakRecord:
    test = np.random.default_rng(seed).random(len(frame)) < 0.25
    return leaks(of_frames(frame[~test], frame[test]), spec)


def kinds(found: LeakRecord) -> list[str]:
    return [
        *(["twins"] if copied(found["twins"]) else []),
        *(kind for kind in KINDS if found[kind]),
    ]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", CASES)
def test_a_table_is_suspected_of_what_it_gives_away_and_of_nothing_else(
    name: str, seed: int
) -> None:
    make, expected = CASES[name]
    frame = pd.DataFrame(make(np.random.default_rng([seed, len(name)])))
    spec = declared(["a", "b"], columns={"who": "integer"} if "who" in frame else None)
    found = suspicions(frame, spec, seed=seed)
    assert kinds(found) == ([expected] if expected else [])
    if expected:
        assert len(sentences(found)[expected]) == 1


@pytest.mark.parametrize("name", ["a clock", "patients"])
def test_a_test_of_later_rows_needs_no_word_on_clocks_and_takes_no_group(name: str) -> None:
    frame = pd.DataFrame(CASES[name][0](np.random.default_rng(0)))
    spec = declared(["a", "b"], columns={"who": "integer"} if "who" in frame else None)
    assert kinds(suspicions(frame, spec)) == [CASES[name][1]]
    forward = spec.split.model_copy(update={"after": {"b": 0.0}})
    assert kinds(suspicions(frame, spec.model_copy(update={"split": forward}))) == []


@pytest.mark.parametrize("name", ["iris", "wine", "diabetes", "breast_cancer", "digits"])
def test_no_alarm_for_honest_tables_of_the_library(name: str) -> None:
    data = getattr(datasets, f"load_{name}")(as_frame=True)
    frame = data.frame.rename(columns={"target": "t"})
    task = "regression" if name == "diabetes" else "multiclass"
    for seed in range(3):
        assert (
            kinds(suspicions(frame, declared(list(data.feature_names), task=task), seed=seed)) == []
        )


def test_a_regression_is_told_by_its_copy() -> None:
    rng = np.random.default_rng(0)
    target = rng.normal(size=N)
    frame = pd.DataFrame({"a": rng.normal(size=N), "b": 3 * target + 1, "t": target})
    found = suspicions(frame, declared(["a", "b"], task="regression"))
    assert [each["feature"] for each in found["telling"]] == ["b"]


def test_missing_values_and_texts_are_values_like_others() -> None:
    rng = np.random.default_rng(0)
    target = rng.choice(["no", "yes"], N)
    frame = pd.DataFrame({"a": np.where(target == "yes", np.nan, 1.0), "b": rng.normal(size=N)})
    found = suspicions(frame.assign(t=target), declared(["a", "b"], task="multiclass"))
    assert [each["feature"] for each in found["telling"]] == ["a"]


FOUND: LeakRecord = {
    "twins": {"test_rows": 90, "share": 0.9, "by_chance": 0.0, "same_target": 1.0},
    "telling": [{"feature": "b", "alone": 1.0}],
    "ids": [],
    "clocks": [],
    "groups": [],
}


def test_the_gate_refuses_twins_says_the_rest_and_can_be_overruled() -> None:
    refused, said = judge_leaks(FOUND, Leaks())
    assert len(refused) == len(said) == 1
    assert refused[0].startswith("90 test rows (90%) repeat the features of a training row")
    assert refused[0].endswith("declare `gate: {leaks: {twins: allow}}`")
    assert said[0].startswith("beware: `b` alone tells 100.0%")
    refused, said = judge_leaks(FOUND, Leaks(twins="allow", telling="refuse"))
    assert refused[0].endswith("declare `gate: {leaks: {telling: allow}}`")
    assert said[0].endswith("and `leaks: {twins: allow}` lets it")


@pytest.mark.parametrize(
    ("share", "chance", "same", "refused"),
    [
        (0.9, 0.5, 1, False),
        (0.19, 0, 1, False),
        (0.2, 0.05, 0.95, True),
        (0.37, 0, 0.81, False),
    ],
    ids=["by chance", "few", "copies", "alike"],
)
def test_twins_that_are_few_or_that_chance_makes_are_not_refused(
    share: float, chance: float, same: float, refused: bool
) -> None:
    twins: Twins = {"test_rows": 90, "share": share, "by_chance": chance, "same_target": same}
    assert bool(judge_leaks({**FOUND, "twins": twins}, Leaks())[0]) is refused


def test_a_million_rows_take_seconds() -> None:
    rng, rows = np.random.default_rng(0), 1_000_000
    frame = pd.DataFrame(rng.normal(size=(rows, 5)), columns=list("abcde"))
    frame["t"] = logistic(rng, frame["a"].to_numpy())
    began = process_time()
    assert kinds(suspicions(frame, declared(list("abcde")))) == []
    assert process_time() - began < 30
