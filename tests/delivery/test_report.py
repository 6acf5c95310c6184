"""The report of a run: what happened in one line, what follows from it, then the numbers."""

import re
from dataclasses import replace
from typing import Any

import pytest

from treeline.delivery.account import ModelSummary, RunSummary
from treeline.delivery.notes import Failure, Published, RunError
from treeline.delivery.report import MARK, headline, report, shortened, worth_a_comment
from treeline.records.evaluation import Evaluation
from treeline.records.training import CandidateRecord, Training, TrialRecord

COMMIT = "c0ffee" + "0" * 34
COMMENT_LIMIT = 65_536  # GitHub's
COMPARISON = """\
## sugar may ship

- rmse fell from 60.1 to 58.2

On the same 111 test rows, with paired 95 % bootstrap intervals:

| metric | candidate | incumbent (abc) | lead |
| --- | ---: | ---: | ---: |
| rmse | 58.2 | 60.1 | 1.9 (0.4 to 3.1) |
"""
EVALUATION: Evaluation = {
    "rows": 111,
    "champion": {"rmse": {"value": 58.2, "low": 50.1, "high": 66.3}},
    "baseline": {"rmse": {"value": 70.4, "low": 61.0, "high": 80.2}},
    "advantage": {"baseline": {"rmse": {"value": 12.2, "low": 5.0, "high": 19.4}}},
    "importances": [],
}
TRIAL: TrialRecord = {"hyperparameters": {"alpha": 1}, "folds": {"rmse": [57.0, 59.0]}}
RIDGE: CandidateRecord = {
    "trainer": "sklearn",
    "estimator": "sklearn.linear_model.Ridge",
    "hyperparameters": TRIAL["hyperparameters"],
    "folds": TRIAL["folds"],
    "trials": [TRIAL],
}
TRAINING: Training = {"metric": "rmse", "champion": "ridge", "candidates": {"ridge": RIDGE}}
SUMMARY: dict[str, Any] = {
    "rows": {"collected": 442, "train": 331, "test": 111},
    "missing": {"bmi": 0},
    "duplicates": 0,
    "target": {},
}
SUGAR = ModelSummary(
    name="sugar",
    version="b" * 12,
    before="a" * 12,
    verdict={"passed": True, "reasons": ["r2 is 0.3; at least 0.05 was asked"]},
    evaluation=EVALUATION,
    training=TRAINING,
    summary=SUMMARY,
    summary_before=SUMMARY,
    comparison=COMPARISON,
    images=("model/sugar/images/residuals.png",),
)
FLOWERS = ModelSummary(name="flowers", version="f" * 12, before="f" * 12)
TRAINED = RunSummary(models=(FLOWERS, SUGAR))
UNCHANGED = RunSummary(models=(FLOWERS,))
PUBLISHED = Published(commit=COMMIT, changed=True, released=True)
REFUSED = Failure("gate", "sugar", "refused: r2 is 0.01, but at least 0.05 is asked", refused=True)
BROKEN = Failure("collect", "flowers", "the source has no rows")
REJECTED = RunError("publish", "git push to main was refused:\nthe disk is full")


@pytest.mark.parametrize(
    ("summary", "line"),
    [
        (UNCHANGED, "Nothing has changed"),
        (TRAINED, "Trained: sugar"),
        (replace(TRAINED, published=PUBLISHED), "Trained and published: sugar"),
        (
            replace(UNCHANGED, published=PUBLISHED),
            "Trained and published: new numbers, the same models",
        ),
        (replace(TRAINED, error=REJECTED), "Trained, but not written back"),
        (
            replace(UNCHANGED, error=RunError("pull", "no")),
            "Not trained: data and models could not be fetched",
        ),
        (replace(UNCHANGED, error=RunError("retrain", "no")), "Training failed"),
        (
            replace(TRAINED, error=RunError("compare", "no")),
            "Not published: the models could not be compared",
        ),
        (
            replace(TRAINED, lost=("sugar",)),
            "Refused, for not fit to follow the model before: sugar",
        ),
        (
            replace(TRAINED, lost=("sugar",), accepted=True, published=PUBLISHED),
            "Trained and published: sugar",
        ),
        (replace(TRAINED, failures=(REFUSED,)), "Refused at the gate: sugar"),
        (replace(TRAINED, failures=(REFUSED, BROKEN)), "Training failed: collect flowers"),
        (
            replace(UNCHANGED, failures=(Failure("", "", "dvc.yaml is wrong"),)),
            "Training failed: the pipeline",
        ),
    ],
)
def test_the_headline_says_what_weighs_most(summary: RunSummary, line: str) -> None:
    assert headline(summary) == line
    assert report(summary).splitlines()[:3] == [MARK, "", f"# {line}"]


@pytest.mark.parametrize(
    ("summary", "worth"),
    [
        (UNCHANGED, False),
        (replace(UNCHANGED, published=Published(commit=COMMIT, released=True)), False),
        (TRAINED, True),
        (replace(UNCHANGED, published=PUBLISHED), True),
        (replace(UNCHANGED, failures=(BROKEN,)), True),
        (replace(UNCHANGED, error=REJECTED), True),
        (replace(UNCHANGED, lost=("sugar",)), True),
    ],
)
def test_nobody_is_told_of_a_run_that_changed_nothing(summary: RunSummary, *, worth: bool) -> None:
    assert worth_a_comment(summary) is worth


HELD = replace(
    PUBLISHED,
    held={"flowers": "refused: accuracy is 0.7"},
    repeated=("flowers",),
    removed=("wine",),
)


def test_the_good_are_published_beside_one_that_was_refused_and_both_are_in_the_headline() -> None:
    refused = Failure("gate", "flowers", "refused: accuracy is 0.7", refused=True)
    summary = replace(TRAINED, failures=(refused,), published=replace(HELD, repeated=()))
    assert headline(summary) == "Refused at the gate: flowers. Published all the same: sugar"
    assert summary.alarming
    text = report(summary)
    assert "- **flowers** goes on as it was released last: refused: accuracy is 0.7" in text
    assert f"Will be deployed from {COMMIT[:12]}: sugar `{'b' * 12}`." in text


def test_a_refusal_that_was_told_before_alarms_nobody_and_a_removed_model_is_named() -> None:
    refused = Failure("gate", "flowers", "refused: accuracy is 0.7", refused=True)
    summary = replace(UNCHANGED, failures=(refused,), published=replace(HELD, changed=False))
    assert not summary.alarming and not worth_a_comment(summary)
    text = report(summary)
    assert "goes on as it was released last, as told before" in text
    assert "Declared no more, and removed: wine." in text


def test_it_says_why_the_run_was_asked_for_and_why_it_failed() -> None:
    lines = report(
        replace(TRAINED, reason="new rows", failures=(REFUSED, BROKEN), error=REJECTED)
    ).splitlines()
    assert "Asked for because: new rows" in lines
    assert "- **gate sugar**: refused: r2 is 0.01, but at least 0.05 is asked" in lines
    assert "- **collect flowers**: the source has no rows" in lines
    assert lines[lines.index("```") + 2] == "the disk is full"
    assert "Nothing was written back to git, and nothing will be deployed." in lines


def test_it_says_what_was_written_back_and_what_will_be_deployed() -> None:
    text = report(replace(TRAINED, published=PUBLISHED))
    assert f"Written back to git as {COMMIT[:12]}." in text
    models = f"flowers `{'f' * 12}`, sugar `{'b' * 12}`"
    assert f"Will be deployed from {COMMIT[:12]}: {models}." in text


def test_where_each_model_is_held_back_it_names_none_that_will_be_deployed() -> None:
    held = {model.name: "refused" for model in TRAINED.models}
    text = report(replace(TRAINED, published=replace(PUBLISHED, held=held)))
    assert f"deployed from {COMMIT[:12]}, with the models that were released before." in text


def test_it_says_why_what_was_written_back_is_not_deployed() -> None:
    held = replace(PUBLISHED, released=False, note="main moved on meanwhile.")
    text = report(replace(TRAINED, published=held))
    assert f"Written back to git as {COMMIT[:12]}. main moved on meanwhile." in text
    assert "Will be deployed" not in text


def test_a_changed_model_is_set_beside_the_one_before() -> None:
    text = report(TRAINED)
    assert f"## sugar `{'a' * 12}` → `{'b' * 12}`" in text
    assert "### sugar may ship" in text
    assert "| rmse | 58.2 | 60.1 | 1.9 (0.4 to 3.1) |" in text
    assert "- r2 is 0.3; at least 0.05 was asked" in text
    assert "**ridge** won with alpha 1." in text
    assert f"Unchanged: flowers `{'f' * 12}`." in text


def test_a_model_with_nothing_to_compare_shows_its_metrics_beside_the_baseline() -> None:
    text = report(RunSummary(models=(replace(SUGAR, before=None, comparison=""),)))
    assert f"## sugar `new` → `{'b' * 12}`" in text
    assert "| rmse | 58.2 (50.1 to 66.3) | 70.4 (61 to 80.2) | 12.2 (5 to 19.4) |" in text
    assert (
        "**ridge** has rmse **58.2 (50.1 to 66.3)** (lower is better), the baseline 70.4: it is"
        in text
    )


def test_a_model_that_failed_keeps_its_version_and_one_that_never_had_any_says_so() -> None:
    kept = replace(SUGAR, version="a" * 12)
    assert f"## sugar stays `{'a' * 12}`" in report(RunSummary((kept,), failures=(REFUSED,)))
    never = ModelSummary(name="sugar")
    text = report(RunSummary((never,), failures=(REFUSED,)))
    assert "## sugar has no version yet" in text
    assert "None" not in text


def test_a_model_that_must_not_ship_is_told_of_though_its_version_is_that_of_before() -> None:
    worse = replace(SUGAR, version="a" * 12, comparison="## sugar must not ship\n\n- rmse rose")
    assert "### sugar must not ship" in report(RunSummary((worse,), lost=("sugar",)))


def test_a_person_who_accepted_a_worse_model_is_told_of() -> None:
    assert "A person accepted" in report(replace(TRAINED, lost=("sugar",), accepted=True))
    assert "A person accepted" not in report(replace(TRAINED, lost=("sugar",)))


def test_the_same_data_are_told_in_a_sentence() -> None:
    assert "The data are those of before." in report(TRAINED)


def test_what_changed_of_the_data_is_set_beside_the_data_before() -> None:
    grown = {
        "rows": {"collected": 1442, "train": 331, "test": 111, "left_out_by_where": 1000},
        "missing": {"bmi": 3},
        "groups": {"on_both_sides": 2},
        "duplicates": 7,
        "target": {"classes": ["a|b", "c"], "counts": [100, 1342]},
    }
    lines = report(RunSummary((replace(SUGAR, summary=grown),))).splitlines()
    first = lines.index("| what changed | before | now |")
    assert lines[first + 2 :] == [
        "| rows collected | 442 | 1,442 |",
        "| rows left out by where | - | 1,000 |",
        "| rows without `bmi` | 0 | 3 |",
        "| groups on both sides | - | 2 |",
        r"| rows of class `a\|b` | - | 100 |",
        "| rows of class `c` | - | 1,342 |",
        "| rows that repeat another | 0 | 7 |",
    ]


def test_pictures_are_those_of_the_commit_and_without_one_there_are_none() -> None:
    browser = "https://github.com/acme/forest"
    linked = replace(TRAINED, browser=browser, published=PUBLISHED)
    picture = f"![residuals]({browser}/blob/{COMMIT}/model/sugar/images/residuals.png?raw=true)"
    assert picture in report(linked)
    assert "![" not in report(replace(linked, published=None))
    assert "![" not in report(replace(linked, browser=""))


def test_the_run_is_linked_when_there_is_one() -> None:
    run = "https://github.com/acme/forest/actions/runs/1"
    assert report(replace(TRAINED, run=run)).endswith(f"[The run]({run}) has the rest.\n")


def test_a_report_that_fits_a_comment_is_left_as_it_is() -> None:
    text = report(TRAINED)
    assert shortened(text, TRAINED) == text


@pytest.mark.parametrize("run", ["https://github.com/acme/forest/actions/runs/1", ""])
def test_a_report_longer_than_a_comment_is_cut_after_a_line_and_says_where_the_rest_is(
    run: str,
) -> None:
    summary = RunSummary(tuple(replace(SUGAR, name=f"sugar-{n}") for n in range(200)), run=run)
    whole = report(summary)
    cut = shortened(whole, summary)
    assert len(whole) > COMMENT_LIMIT > len(cut)
    kept, _, pointer = cut.rpartition("\n\n")
    assert whole.startswith(kept + "\n")
    assert pointer.startswith("Too long for a comment; the whole of it is ")
    assert run in pointer


EVIL = "a|b\n# c\n```\n| d |"


def test_a_reason_over_several_lines_is_told_in_one() -> None:
    lines = report(replace(TRAINED, reason=EVIL)).splitlines()
    assert "Asked for because: a|b # c ``` | d |" in lines


def test_a_complaint_of_whatever_text_stays_in_its_block() -> None:
    text = report(replace(TRAINED, error=RunError("publish", EVIL)))
    assert f"\n\n````\n{EVIL}\n````\n\n" in text


def test_a_failure_of_whatever_text_stays_in_its_item() -> None:
    text = report(replace(TRAINED, failures=(Failure("train", "sugar", EVIL),)))
    assert "\n\n- **train sugar**: a|b\n  # c\n  ```\n  | d |\n\n" in text


def test_a_name_with_a_bar_does_not_break_a_table() -> None:
    training: Training = {**TRAINING, "champion": "a|b", "candidates": {"a|b": RIDGE}}
    evaluation: Evaluation = {
        **EVALUATION,
        "champion": {"r|2": EVALUATION["champion"]["rmse"]},
    }
    odd = replace(
        SUGAR,
        name="a|b",
        comparison="",
        training=training,
        evaluation=evaluation,
        summary={**SUMMARY, "missing": {"b\n|mi": 1}},
    )
    blocks = [block.splitlines() for block in report(RunSummary((odd,))).split("\n\n")]
    tables = [block for block in blocks if block[0].startswith("|")]
    assert len(tables) == 3
    for lines in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
