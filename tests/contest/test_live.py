"""Answers of a service and of its shadow, in pairs → which is better, and what is said beside."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.own_classes import load_as_own
from tests.own_metrics import COST
from treeline.artifact import Prediction
from treeline.config.models import ModelSpec
from treeline.contest.live import Answered, Live, agreement, answers_of, judged

ROWS = 1000


@pytest.fixture
def spec(declaration: dict[str, Any]) -> ModelSpec:
    return ModelSpec.model_validate(declaration | {"split": {"test": 0.25}})


def answered(*, service: float, shadow: float, known: int = ROWS, **changed: Any) -> Answered:
    """Return rows of two classes; each model is right on such a share of them."""
    chance = np.random.default_rng(2)
    truth = chance.integers(0, 2, ROWS)

    def prediction(right: float) -> Prediction:
        labels = np.where(chance.random(ROWS) < right, truth, 1 - truth)
        scores = np.where(np.eye(2)[labels] > 0, 0.8, 0.2)
        return Prediction(labels=labels, scores=scores)

    rows = Answered(
        times=np.arange(ROWS) * 60.0,
        service=prediction(service),
        shadow=prediction(shadow),
        truth=truth,
        is_known=np.arange(ROWS) < known,
        columns={},
        classes=(0, 1),
    )
    return replace(rows, **changed)


def contest(spec: ModelSpec, rows: Answered) -> tuple[bool, str]:
    comparison, notes = judged(spec, rows, look=1)
    assert comparison is not None
    return comparison["verdict"]["passed"], " ".join([*comparison["verdict"]["reasons"], *notes])


def test_the_better_of_both_may_take_the_place(spec: ModelSpec) -> None:
    assert contest(spec, answered(service=0.7, shadow=0.9))[0]
    assert not contest(spec, answered(service=0.9, shadow=0.7))[0]


def test_a_metric_of_ones_own_judges_both(declaration: dict[str, Any], tmp_path: Path) -> None:
    """The shadow is right less often, and never misses, which costs ten false alarms."""
    (tmp_path / "live_worth.py").write_text(COST)
    path = f"{load_as_own(tmp_path / 'live_worth.py')}.Cost"
    changed = {"split": {"test": 0.25}, "champion": {"metric": path}, "gate": {"beats": None}}
    spec = ModelSpec.model_validate(declaration | changed)
    rows = answered(service=0.8, shadow=0.8)
    labels = np.where(np.arange(ROWS) % 2 == 0, 1, rows.truth)
    scores = np.where(np.eye(2)[labels] > 0, 0.8, 0.2)
    careful = replace(rows, shadow=Prediction(labels=labels, scores=scores))
    passed, said = contest(spec, careful)
    assert passed and f"{path} held" in said and "it is better" in said
    turned = replace(careful, service=careful.shadow, shadow=careful.service)
    passed, said = contest(spec, turned)
    assert not passed and f"{path} rose" in said


def test_only_rows_whose_truth_is_known_count(spec: ModelSpec) -> None:
    rows = answered(service=0.7, shadow=0.9, known=400)
    late = np.where(rows.is_known, rows.truth, 1 - rows.truth)  # which would turn it round
    assert judged(spec, rows, look=1) == judged(spec, replace(rows, truth=late), look=1)
    comparison, notes = judged(spec, rows, look=1)
    assert comparison is not None and comparison["rows"] == 400
    assert notes == ["1,000 requests were answered by both, and 400 have a truth by now"]


@pytest.mark.parametrize("known", [0, 1])
def test_too_few_truths_are_no_contest(spec: ModelSpec, known: int) -> None:
    comparison, notes = judged(spec, answered(service=0.7, shadow=0.9, known=known), look=1)
    assert comparison is None
    assert notes[0].startswith(f"{known} of 1,000 rows have a truth by now")


def test_what_is_left_out_is_said(spec: ModelSpec) -> None:
    _, notes = judged(spec, answered(service=0.7, shadow=0.9, refused=7, strange=3), look=1)
    assert notes[1:] == [
        "7 more the shadow would have refused; they are left out",
        "3 answers are none of the model in service, and are left out",
    ]


def grouped(declaration: dict[str, Any]) -> ModelSpec:
    return ModelSpec.model_validate(declaration | {"split": {"test": 0.25, "group": "Plot"}})


def test_rows_of_a_group_are_taken_together_where_the_log_has_it(
    declaration: dict[str, Any],
) -> None:
    spec, rows = grouped(declaration), answered(service=0.75, shadow=0.8)
    alone, said = judged(spec, rows, look=1)
    groups = {"Plot": np.repeat(np.arange(20), ROWS // 20)}
    together, silent = judged(spec, replace(rows, columns=groups), look=1)
    assert any("the log does not hold `Plot`" in line for line in said)
    assert not any("`Plot`" in line for line in silent)
    assert alone is not None and together is not None
    leads = [each["advantage"]["incumbent"]["roc_auc"] for each in (alone, together)]
    assert leads[0]["value"] == leads[1]["value"] and leads[0] != leads[1]


def test_the_later_the_look_the_more_is_asked(spec: ModelSpec) -> None:
    rows = answered(service=0.8, shadow=0.8)
    said = [judged(spec, rows, look=look)[0] for look in (1, 60)]
    assert said[0] is not None and said[1] is not None
    assert said[0]["verdict"] != said[1]["verdict"]


def test_agreement_is_of_classes_or_of_values() -> None:
    rows = answered(service=1.0, shadow=0.9)
    same = np.mean(np.asarray(rows.shadow.labels) == rows.truth)
    assert agreement(rows) == pytest.approx(same)
    values = np.linspace(0, 1, ROWS)
    numbers = replace(
        rows, classes=(), service=Prediction(values=values), shadow=Prediction(values=2 * values)
    )
    assert agreement(numbers) == pytest.approx(1)
    assert agreement(replace(numbers, shadow=Prediction(values=np.zeros(ROWS)))) is None


def test_answers_stand_side_by_side_with_the_truth_where_it_is_known() -> None:
    table = answers_of(answered(service=1.0, shadow=0.5, known=10))
    assert table["truth"].notna().sum() == 10
    assert (table["service"][:10] == table["truth"][:10]).all()
    assert set(table["shadow_probability"]) == {0.2, 0.8}


def test_a_report_has_a_table_of_both(spec: ModelSpec) -> None:
    rows = answered(service=0.7, shadow=0.9)
    comparison, notes = judged(spec, rows, look=1)
    live = Live(
        model="seedlings", service="a" * 12, shadow="b" * 12, since=0.0, rows=ROWS, known=ROWS,
        refused=0, agreement=agreement(rows), notes=tuple(notes), comparison=comparison,
    )  # fmt: skip
    text = live.to_text()
    assert text.startswith(f"## seedlings {'b' * 12} may take the place, beside {'a' * 12}")
    assert "| metric | shadow | in service | lead |" in text
    assert live.good and live.to_dict()["good"]
