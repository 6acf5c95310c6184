"""`make compare`: candidate against the incumbent of a revision, on the candidate's test rows."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

from tests.checkout import Checkout

ENTER = (
    "from treeline.delivery import releasing as r;"
    "print(r.entered(r.entry_for('HEAD')).partition(':')[0])"
)
COMPARE = ("-m", "treeline", "compare", "--base")


@pytest.fixture(scope="module")
def _retrained(reproduced: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Return a clone that has pushed the incumbents, and trained a model that is hardly another."""
    made = reproduced.copy(tmp_path_factory.mktemp("retrained") / "clone")
    made.run("dvc", "push")
    made.change("alpha: 0.1", "alpha: 0.11")
    made.run("dvc", "repro", "export@sugar")
    return made


@pytest.fixture
def retrained(_retrained: Checkout, tmp_path: Path) -> Checkout:
    """Return a copy of that clone, to be changed at will."""
    return _retrained.copy(tmp_path / "retrained")


@pytest.fixture(scope="module")
def _split_again(reproduced: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Return a clone that splits otherwise than the incumbent did, and has trained."""
    made = reproduced.copy(tmp_path_factory.mktemp("split") / "clone")
    made.change("test: 0.25, seed: 0}", "test: 0.25, seed: 1}")
    made.change("alpha: 0.1", "alpha: 0.11")
    made.run("dvc", "repro", "export@sugar")
    return made


def test_the_same_model_is_told_to_be_that_and_needs_no_comparison(clone: Checkout) -> None:
    done = clone.python(*COMPARE, "HEAD")
    for name in ("flowers", "sugar"):
        assert f"## {name} is still the model of HEAD" in done.stdout
    assert not (clone.root / "model/sugar/comparison.json").exists()
    assert "still the model" in (clone.root / "model/sugar/comparison.md").read_text()
    assert clone.run("git", "status", "--porcelain").stdout == ""


def test_a_model_that_predicts_as_before_has_no_lead_and_may_ship(clone: Checkout) -> None:
    clone.change("  sugar:\n", "  sugar:\n    description: The same, in other words\n")
    clone.run("dvc", "repro", "export@sugar")
    assert "## sugar may ship" in clone.python(*COMPARE, "HEAD", "sugar").stdout
    found = json.loads((clone.root / "model/sugar/comparison.json").read_text())
    assert found["advantage"]["incumbent"]["rmse"] == {"value": 0, "low": 0, "high": 0}


def test_a_model_that_drops_too_far_must_not_ship(clone: Checkout) -> None:
    clone.change("alpha: 0.1", "alpha: 3")
    clone.run("dvc", "repro", "export@sugar")
    done = clone.python(*COMPARE, "HEAD", "sugar", good=False)
    assert "## sugar must not ship" in done.stdout
    assert "rmse rose" in done.stdout and "a drop of 0.5 is allowed" in done.stdout


def test_the_incumbent_comes_from_the_remote_where_the_cache_has_lost_it(
    retrained: Checkout,
) -> None:
    retrained.run("rm", "-rf", ".dvc/cache")
    done = retrained.python(*COMPARE, "HEAD", "sugar")
    assert "## sugar may ship" in done.stdout and "incumbent (HEAD)" in done.stdout


def test_an_incumbent_that_is_nowhere_is_told_and_decides_only_where_one_was_released(
    retrained: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = retrained
    clone.run("rm", "-rf", ".dvc/cache", ".dvc/storage")
    alone = clone.python(*COMPARE, "HEAD", "sugar")
    assert "## sugar is compared with nothing" in alone.stdout
    assert "neither here nor from a shared remote" in alone.stdout
    monkeypatch.setenv("DVC_REMOTE_URL", str(clone.root.parent / "remote"))
    assert "compared with nothing" in clone.python(*COMPARE, "HEAD", "sugar").stdout
    entered = clone.python("-c", ENTER).stdout.strip()
    clone.run("git", "update-ref", "refs/remotes/origin/released", entered)
    done = clone.python(*COMPARE, "HEAD", "sugar", good=False)
    assert "## sugar cannot be compared" in done.stdout
    assert "cannot be fetched" in done.stdout and "was it pushed" in done.stdout


def test_a_model_that_is_new_has_nothing_to_be_compared_with(clone: Checkout) -> None:
    first = clone.run("git", "rev-list", "--max-parents=0", "HEAD").stdout.strip()
    assert "has no such model" in clone.python(*COMPARE, first, "sugar").stdout


def test_an_unknown_revision_is_named(clone: Checkout) -> None:
    done = clone.python(*COMPARE, "nowhere", "sugar", good=False)
    assert "nowhere: no such revision" in done.stdout


def test_a_changed_contract_asks_for_a_person(clone: Checkout) -> None:
    clone.change("      s5: {type: number}\n", "")
    clone.run("dvc", "repro", "export@sugar")
    done = clone.python(*COMPARE, "HEAD", "sugar", good=False)
    assert "'s5'" in done.stdout and "the contract changed" in done.stdout


# --- what the incumbent has learnt from -----------------------------------------------------------


def forget_training_rows(clone: Checkout) -> None:
    """Remove the training rows of the incumbent from DVC's cache and remote."""
    lock = YAML(typ="safe").load(clone.run("git", "show", "HEAD:dvc.lock").stdout)
    outs = {each["path"]: each["md5"] for each in lock["stages"]["prepare@sugar"]["outs"]}
    digest = outs["dataset/sugar/train.parquet"]
    places = [clone.root / ".dvc" / each / "files/md5" for each in ("cache", "storage")]
    kept = [path for path in (each / digest[:2] / digest[2:] for each in places) if path.exists()]
    assert kept
    for path in kept:
        path.unlink()


def rows(clone: Checkout, side: str, names: Sequence[str] = ("bmi", "s5")) -> list[tuple[Any, ...]]:
    table = pd.read_parquet(clone.root / f"dataset/sugar/{side}.parquet", columns=[*names])
    return list(table.itertuples(index=False, name=None))


def known(test: list[tuple[Any, ...]], before: list[tuple[Any, ...]]) -> int:
    return sum(row in before for row in test)


def test_a_feature_that_is_added_moves_rows_which_are_known_by_the_others(clone: Checkout) -> None:
    clone.change("s5: {type: number}\n", "s5: {type: number}\n      bp: {type: number}\n")
    clone.run("dvc", "repro", "export@sugar")
    done = clone.python(*COMPARE, "HEAD", "sugar", good=None)
    assert "rows left out: the incumbent learnt from them, by bmi, s5" in done.stdout


@pytest.mark.parametrize("record", ["rows", "rule"])
def test_rows_that_the_incumbent_learnt_from_are_left_out_and_counted(
    reproduced: Checkout, _split_again: Checkout, tmp_path: Path, record: str
) -> None:
    clone = _split_again.copy(tmp_path / "clone")
    if record == "rule":
        forget_training_rows(clone)
    before, test = rows(reproduced, "train"), rows(clone, "test")
    done = clone.python(*COMPARE, "HEAD", "sugar", good=None)
    left_out, all_rows = known(test, before), len(test)
    assert 0 < left_out < all_rows
    words = f"{left_out} of {all_rows} rows left out: the incumbent learnt from them, by bmi, s5"
    assert words in done.stdout
    found = json.loads((clone.root / "model/sugar/comparison.json").read_text())
    assert found["rows"] == all_rows - left_out


def test_a_key_of_another_type_moves_rows_which_are_known_by_its_texts(clone: Checkout) -> None:
    """The number 7 has another hash than the text: both sides are drawn anew."""
    library = "source: {kind: library, dataset: diabetes"
    clone.change(library, f"{library}, columns: {{age: number}}")
    clone.change("test: 0.25, seed: 0}", "test: 0.25, seed: 0, key: age}")
    clone.run("dvc", "repro", "export@sugar")
    clone.commit("Name rows by a number")
    before = rows(clone, "train", names=["age"])
    clone.change("age: number", "age: text")
    clone.run("dvc", "repro", "export@sugar")
    test = [(float(age),) for (age,) in rows(clone, "test", names=["age"])]
    left_out, all_rows = known(test, before), len(test)
    assert 0 < left_out < all_rows
    done = clone.python(*COMPARE, "HEAD", "sugar", good=None)
    words = f"{left_out} of {all_rows} rows left out: the incumbent learnt from them, by age"
    assert words in done.stdout


def test_a_split_that_was_drawn_is_known_by_its_rows(clone: Checkout) -> None:
    clone.change("test: 0.25, seed: 0}", "test: 0.25, seed: 0, rule: drawn}")
    clone.run("dvc", "repro", "export@sugar")
    clone.commit("Draw")
    before = rows(clone, "train")
    clone.change("test: 0.25, seed: 0, rule: drawn}", "test: 0.25, seed: 0}")
    clone.run("dvc", "repro", "export@sugar")
    left_out = known(rows(clone, "test"), before)
    done = clone.python(*COMPARE, "HEAD", "sugar", good=None)
    assert f"{left_out} of {len(rows(clone, 'test'))} rows left out" in done.stdout


def test_a_moment_that_moves_tells_what_the_incumbent_has_learnt_from(clone: Checkout) -> None:
    clone.change("test: 0.25, seed: 0}", "after: {bmi: 0.0}, seed: 0}")
    clone.change("floor: {r2: 0.05}, beats: baseline", "floor: {}, beats: null")
    clone.run("dvc", "repro", "export@sugar")
    clone.commit("Look forward")
    before = rows(clone, "train")
    forget_training_rows(clone)
    clone.change("after: {bmi: 0.0}", "after: {bmi: 0.01}")
    clone.run("dvc", "repro", "export@sugar")
    done = clone.python(*COMPARE, "HEAD", "sugar", good=None)
    assert "both models keep the same rows for the test" in done.stdout
    clone.change("after: {bmi: 0.01}", "after: {bmi: -0.01}")
    clone.run("dvc", "repro", "export@sugar")
    test = rows(clone, "test")
    left_out = known(test, before)
    assert 0 < left_out < len(test)
    done = clone.python(*COMPARE, "HEAD", "sugar", good=None)
    words = f"{left_out} of {len(test)} rows left out: the incumbent learnt from them, by bmi"
    assert words in done.stdout


def test_a_release_without_a_record_is_compared_with_a_warning(retrained: Checkout) -> None:
    clone, path = retrained, retrained.root / "dataset/sugar/summary.json"
    summary = json.loads(path.read_text())
    path.write_text(json.dumps({key: each for key, each in summary.items() if key != "split"}))
    clone.run("git", "commit", "--quiet", "--message", "As before there were records", str(path))
    path.write_text(json.dumps(summary))
    forget_training_rows(clone)
    done = clone.python(*COMPARE, "HEAD", "sugar", good=None)
    assert "## sugar may ship" in done.stdout
    assert "what the incumbent learnt from is not known" in done.stdout


def test_a_model_that_learnt_from_all_rows_leaves_none_to_compare_by(clone: Checkout) -> None:
    clone.change("champion: {metric: rmse}", "champion: {metric: rmse, refit: all}")
    clone.run("dvc", "repro", "export@sugar")
    clone.commit("Learn from all rows")
    clone.change("alpha: 0.1", "alpha: 0.11")
    clone.run("dvc", "repro", "export@sugar")
    done = clone.python(*COMPARE, "HEAD", "sugar")
    assert "whether it is worse cannot be told" in done.stdout
    assert "`undecided: pass` lets it" in done.stdout
    assert "so that 0 are left to compare by" in done.stdout


def test_other_classes_ask_for_a_person(clone: Checkout) -> None:
    clone.change("labels: species}", "labels: species, where: {species: [setosa, virginica]}}")
    clone.run("dvc", "repro", "export@flowers")
    done = clone.python(*COMPARE, "HEAD", "flowers", good=False)
    assert "## flowers cannot be compared" in done.stdout
    assert "it knows other classes than the incumbent, 1 fewer ('versicolor')" in done.stdout


# --- the best release so far ----------------------------------------------------------------------


def released(clone: Checkout) -> str:
    commit = clone.commit("Release")
    entered = clone.python("-c", ENTER.replace("'HEAD'", f"{commit!r}")).stdout.strip()
    clone.run("git", "update-ref", "refs/remotes/origin/released", entered)
    return commit


def test_a_slow_slide_is_stopped_by_the_best_release(clone: Checkout) -> None:
    """Each step is small beside the last one, and large beside the first."""
    clone.change(", undecided: pass}", "}")
    first = released(clone)
    clone.change("alpha: 0.1", "alpha: 0.5")
    clone.run("dvc", "repro", "export@sugar")
    released(clone)
    clone.change("alpha: 0.5", "alpha: 0.55")
    clone.run("dvc", "repro", "export@sugar")
    done = clone.python(*COMPARE, "released", "sugar", good=False)
    found = json.loads((clone.root / "model/sugar/comparison.json").read_text())
    near, far = found["verdict"]["reasons"][0], found["verdict"]["reasons"][1]
    assert near.startswith("rmse rose") and "not worse by more than 0.5" in near
    assert far.startswith("beside the best release so far") and "cannot be told with" in far
    assert first[:12] in done.stdout and "## sugar must not ship" in done.stdout
