"""A class of one's own begins with a template that keeps what it must; what does not is named."""

from pathlib import Path

import pytest

from tests.commanding import treeline
from tests.conftest import Project
from tests.own_classes import load_as_own
from treeline.errors import ConfigError, UnknownNameError
from treeline.workbench.harness import examined
from treeline.workbench.templates import TEMPLATES, module_of

HEAD = """
import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin


class Wrong(RegressorMixin, BaseEstimator):
    def __init__(self, strength=1.0):
        self.strength = strength

    def fit(self, rows, target):
        self.mean_ = float(np.mean(target))
        return self

    def predict(self, rows):
        return np.full(len(rows), self.mean_)
"""
CHANGES = {
    "a copy has other options": ("self.strength = strength", "self.strength = strength * 2"),
    "return shape (n_rows,)": ("np.full(len(rows), self.mean_)", "np.full((len(rows), 2), 0.0)"),
    "changes the rows that it is given": (
        "return np.full",
        "rows[:, 0] *= 0\n        return np.full",
    ),
    "changes the object": ("return np.full", "self.asked_ = len(rows)\n        return np.full"),
    "another answer among other rows": (
        "np.full(len(rows), self.mean_)",
        "np.full(len(rows), float(np.asarray(rows).mean()))",
    ),
    "learns something else each time": ("float(np.mean(target))", "np.random.random()"),
    "ValueError: no such luck": ("return self\n", "raise ValueError('no such luck')\n"),
    "travelling: ": ("float(np.mean(target))", "float(np.mean(target)); self.f_ = lambda: 1"),
}


def words(path: str) -> dict[str, list[str]]:
    findings = examined(path)
    return {
        word: [each.text for each in findings if each.word == word]
        for word in ("ok", "wrong", "note")
    }


@pytest.mark.parametrize("kind", ["classifier", "preprocessor", "regressor"])
def test_a_template_keeps_all_that_is_looked_at(kind: str, tmp_path: Path) -> None:
    file = tmp_path / f"begun_{kind}.py"
    file.write_text(module_of(kind, "Mine"))
    said = words(f"{load_as_own(file)}.Mine")
    assert said["wrong"] == []
    assert len(said["ok"]) >= 6
    graph = "it is served as a pickle" if kind == "preprocessor" else "an ONNX graph repeats it"
    assert any(text.startswith(graph) for text in said["note"])
    assert any("missing values" in text for text in said["note"])


METRIC = module_of("metric", "Worth")
AMISS = {
    "on rows of one class alone, as a slice may have: ": (
        "return np",
        "assert len(set(truth)) > 1; return np",
    ),
    "right answers (0) are worse than shuffled ones": ("False", "True"),
    "look at no row's place": ("return np", "return np.arange(600.0) * labels; np"),
    "it cannot be pickled": (
        "judges =",
        "def __init__(self):\n        self.f = open\n        self.g = lambda: 1\n\n    judges =",
    ),
    "`tasks` is ('regression',)": ('("binary",)', '("regression",)'),
    "the same rows give": ("return np", "return np.random.default_rng().random(len(truth)); np"),
    "binary: own.": ("return np", "raise KeyError(1); np"),
}


def test_the_template_of_a_metric_keeps_all_that_is_looked_at(tmp_path: Path) -> None:
    assert set(TEMPLATES) == {"classifier", "metric", "preprocessor", "regressor"}
    file = tmp_path / "begun_metric.py"
    file.write_text(METRIC)
    said = words(f"{load_as_own(file)}.Worth")
    assert said["wrong"] == [] and len(said["ok"]) == 5
    assert "binary: intervals are exact: a number for each row" in said["ok"]


@pytest.mark.parametrize("expected", AMISS)
def test_what_a_metric_does_not_keep_is_named(expected: str, tmp_path: Path) -> None:
    old, new = AMISS[expected]
    assert METRIC.count(old) >= 1
    file = tmp_path / f"amiss_{list(AMISS).index(expected)}.py"
    file.write_text(METRIC.replace(old, new))
    wrong = words(f"{load_as_own(file)}.Worth")["wrong"]
    assert any(expected in text for text in wrong), wrong


@pytest.mark.parametrize("expected", CHANGES)
def test_what_a_class_does_not_keep_is_named(expected: str, tmp_path: Path) -> None:
    old, new = CHANGES[expected]
    assert HEAD.count(old) == 1
    file = tmp_path / f"wrong_{list(CHANGES).index(expected)}.py"
    file.write_text(HEAD.replace(old, new))
    wrong = words(f"{load_as_own(file)}.Wrong")["wrong"]
    assert any(expected in text for text in wrong), wrong


def test_a_preprocessor_that_changes_what_it_is_given_is_named(tmp_path: Path) -> None:
    file = tmp_path / "careless.py"
    text = module_of("preprocessor", "Careless")
    careless = "frame[:] = frame.clip(upper=1)\n        return frame"
    file.write_text(text.replace("return frame.clip(upper=self.largest)", careless))
    wrong = words(f"{load_as_own(file)}.Careless")["wrong"]
    assert wrong == ["it changes the rows that it is given; work on a copy"]


def test_probabilities_are_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "unsure.py"
    text = module_of("classifier", "Unsure")
    file.write_text(text.replace("predict_proba(rows)\n", "predict_proba(rows) * 2\n"))
    (wrong,) = words(f"{load_as_own(file)}.Unsure")["wrong"]
    assert wrong == "probabilities of a row add up to 2 to 2, not to 1"


def test_a_class_is_begun_and_looked_at_by_the_command(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    own = project.root / "src" / "own"
    own.mkdir(parents=True)
    said = str(treeline("new-class", "classifier", "own.growing.Growth"))
    assert "treeline check-class own.growing.Growth" in said
    assert (own / "growing.py").read_text() == module_of("classifier", "Growth")
    with pytest.raises(ConfigError, match="is there already"):
        treeline("new-class", "regressor", "own.growing.Other")
    for path in ("Growth", "", "growing.Growth", "own.Growth", "own.growing.class"):
        with pytest.raises(ConfigError, match=r"own\.<module>\.<Class>"):
            treeline("new-class", "regressor", path)
    with pytest.raises(ConfigError, match="src/own"):
        treeline("check-class", "tests.workbench.test_classes.Wrong")
    with pytest.raises(UnknownNameError, match="cannot be imported"):
        treeline("check-class", "sklearn.linear_model.Nothing")
    declared = ["--model", project.name]
    assert treeline("check-class", "sklearn.linear_model.LogisticRegression", *declared) == 0
    assert "wrong" not in capsys.readouterr().out
