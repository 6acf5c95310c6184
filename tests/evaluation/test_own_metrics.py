"""A metric of one's own: a number for each row is exact, any other is known by leaving rows out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.own_classes import load_as_own
from tests.own_metrics import COST, KNOWN
from treeline.artifact import Prediction
from treeline.config.metrics import METRICS
from treeline.errors import MetricError, UnknownNameError
from treeline.evaluation.comparison import CANDIDATE, INCUMBENT, Rules, compare
from treeline.evaluation.influence import influence
from treeline.evaluation.intervals import Repeat, evaluate, evaluate_repeats
from treeline.evaluation.metrics import score
from treeline.evaluation.own import GROUPS, check
from treeline.evaluation.units import Units

BY_ROW = {"Accuracy": "accuracy", "LogLoss": "log_loss", "Pinball90": "pinball_90"}
OVERALL = {
    "RocAuc": "roc_auc", "AveragePrecision": "average_precision", "F1": "f1", "Ks": "ks",
    "Rmse": "rmse", "R2": "r2",
}  # fmt: skip


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the module of metrics that the package has too."""
    file = tmp_path_factory.mktemp("own") / "known.py"
    file.write_text(KNOWN)
    return load_as_own(file)


def written(folder: Path, text: str, name: str = "worth") -> str:
    """Return the path of a module of one's own with this text."""
    file = folder / f"{name}_{abs(hash(text))}.py"
    file.write_text(text)
    return load_as_own(file)


def drawn(name: str, n: int, *, seed: int = 0, skill: float = 1.0) -> tuple[Any, Prediction]:
    """Return truth and a prediction that knows a little of it."""
    chance = np.random.default_rng(seed)
    if METRICS[name].judges == "values":
        truth = chance.normal(size=n)
        return truth, Prediction(values=truth + chance.normal(size=n) / skill)
    codes = np.arange(n) % 3 % 2
    positive = 1 / (1 + np.exp(-(skill * (2 * codes - 1) + chance.normal(size=n))))
    scores = np.column_stack([1 - positive, positive])
    return codes, Prediction(labels=scores.argmax(axis=1), scores=scores)


@pytest.mark.parametrize("mine", BY_ROW)
def test_a_number_for_each_row_has_the_value_influence_and_interval_of_the_same_metric(
    mine: str, known: str
) -> None:
    name, path = BY_ROW[mine], f"{known}.{mine}"
    truth, prediction = drawn(name, 500)
    judged = getattr(prediction, METRICS[name].judges)
    assert score(truth, prediction, [path])[path] == pytest.approx(
        score(truth, prediction, [name])[name], rel=1e-12
    )
    assert influence(path, truth, judged) == pytest.approx(influence(name, truth, judged))
    found = evaluate(truth, {"a": prediction}, [name, path])["a"]
    assert found[path] == found[name]


@pytest.mark.parametrize("mine", BY_ROW)
def test_its_influence_is_the_derivative_by_the_weight_of_a_row(mine: str, known: str) -> None:
    """A row once more among copies of all of them weighs a little more than the others."""
    path, n, copies = f"{known}.{mine}", 60, 400
    truth, prediction = drawn(path, n)
    judged = getattr(prediction, METRICS[path].judges)
    found, value = influence(path, truth, judged), score(truth, prediction, [path])[path]
    for row in range(0, n, 7):
        rows = np.append(np.tile(np.arange(n), copies), row)
        moved = score(truth[rows], Repeat({"a": prediction}).of(rows).predictions["a"], [path])
        assert (moved[path] - value) * len(rows) == pytest.approx(found[row], rel=0.01, abs=1e-6)


@pytest.mark.parametrize("mine", OVERALL)
@pytest.mark.parametrize("n", [90, 2000])
def test_any_other_has_about_the_interval_of_the_same_metric(mine: str, n: int, known: str) -> None:
    """Deviations differ by the chance of GROUPS parts: the root of their mean square is held."""
    name, path = OVERALL[mine], f"{known}.{mine}"
    ratios = []
    for seed in range(8):
        truth, prediction = drawn(name, n, seed=seed)
        found = evaluate(truth, {"a": prediction}, [name, path])["a"]
        assert found[path]["value"] == pytest.approx(found[name]["value"], abs=1e-6)
        widths = [found[each]["high"] - found[each]["low"] for each in (path, name)]
        ratios.append(widths[0] / widths[1])
    error = 1.2 if name == "ks" and n == 90 else 1.1  # of a largest gap: docs/decisions/0012
    assert 1 / error < np.sqrt(np.mean(np.square(ratios))) < error + 0.05


@pytest.mark.parametrize("mine", ["RocAuc", "Rmse"])
def test_its_paired_lead_and_its_groups_are_those_of_the_same_metric(mine: str, known: str) -> None:
    name, path, ratios = OVERALL[mine], f"{known}.{mine}", []
    for seed in range(6):
        truth, better = drawn(name, 1200, seed=seed, skill=1.5)
        _, worse = drawn(name, 1200, seed=seed, skill=1.0)
        units = Units.groups(np.random.default_rng(seed).integers(0, 30, 1200))
        found = evaluate(truth, {"a": better, "b": worse}, [name, path], units=units)
        lead = found["advantage"]["b"]
        ratios.append(np.subtract(lead[path]["high"], lead[path]["low"]))
        ratios[-1] /= lead[name]["high"] - lead[name]["low"]
    assert np.sqrt(np.mean(np.square(ratios))) == pytest.approx(1, abs=0.1)


def test_units_are_dealt_whole_into_at_most_so_many_of_about_the_same_size() -> None:
    for units in (Units.rows(1234), Units.groups(np.arange(1234) // 5), Units.rows(40)):
        dealt = units.dealt(GROUPS)
        assert dealt.count == min(GROUPS, units.count)
        of_each = {(unit, part) for unit, part in zip(units.codes, dealt.codes, strict=True)}
        assert len(of_each) == units.count
        assert np.ptp(dealt.sizes) <= units.sizes.max()


def test_one_that_ranks_is_the_mean_over_the_refits(known: str) -> None:
    truth, prediction = drawn("roc_auc", 120)
    parts = np.arange(120) // 40
    repeat = Repeat({"a": prediction}, parts)
    names = ["roc_auc", f"{known}.RocAuc"]
    found = evaluate_repeats(truth, [repeat], names)["a"]
    assert found[names[0]]["value"] == pytest.approx(found[names[1]]["value"], abs=1e-6)


def test_at_the_end_of_its_scale_it_has_an_interval_within_it(tmp_path: Path) -> None:
    text = """
import numpy as np
class Worst:
    judges, greater_is_better, scale = "labels", True, "share"
    def overall(self, truth, labels):
        return float(np.mean((truth == labels)[: len(truth) // 2 * 2]) > 0.9)
class Unsteady(Worst):
    def overall(self, truth, labels):
        return min(1.0, len(set(truth[:3].tolist())) - 0.5)
"""
    module = written(tmp_path, text)
    truth = np.arange(200) % 2
    labels = np.where(np.arange(200) < 19, 1 - truth, truth)
    for name in ("Worst", "Unsteady"):
        path = f"{module}.{name}"
        found = evaluate(truth, {"a": Prediction(labels=labels)}, [path])["a"][path]
        assert 0 <= found["low"] <= found["value"] <= found["high"] <= 1


def test_without_an_interval_where_it_is_not_defined_without_some_rows(tmp_path: Path) -> None:
    text = """
class First:
    judges, greater_is_better = "values", True
    def overall(self, truth, values):
        return float("nan") if 0.0 not in truth else float(values.mean())
"""
    path = f"{written(tmp_path, text)}.First"
    prediction = Prediction(values=np.arange(50.0))
    found = evaluate(np.arange(50.0), {"a": prediction, "b": prediction}, [path])
    assert found["a"][path] == {"value": 24.5, "low": None, "high": None}
    assert found["advantage"]["b"][path]["low"] is None


def test_what_one_wrong_label_costs_decides_how_many_rows_tell(tmp_path: Path) -> None:
    """Labels that differ in no row may differ by a miss in one of them, which costs ten."""
    path = f"{written(tmp_path, COST)}.Cost"
    truth = np.arange(400) % 2
    labels = np.where(np.arange(400) < 30, 1 - truth, truth)
    other = np.where(np.arange(400) % 400 == 399, 1 - labels, labels)
    given = {CANDIDATE: Prediction(labels=labels), INCUMBENT: Prediction(labels=other)}
    for allowed, passed in ((0.05, False), (0.2, True)):
        found = compare(truth, given, metrics=[path], rules=Rules({path: allowed}))
        assert found["verdict"]["passed"] == passed, found["verdict"]["reasons"]
    found = compare(truth, given, metrics=[path], rules=Rules({}))
    assert f"a drop of {found['incumbent'][path]['value'] / 100:.3g} is allowed" in str(found)


FAULTS = {
    "`judges` is None; say labels, scores or values": ('judges = "labels"\n', "\n"),
    "`greater_is_better` is None": ("greater_is_better = False", ""),
    "`scale` is 'percent'": ('scale = "error"', 'scale = "percent"'),
    "has neither of `per_row": ("def per_row", "def rows"),
    "has both of `per_row": ("judges = ", "overall = print\n    judges = "),
    "`tasks` is ('regression',); say some of binary, multiclass": ('("binary",)', '"regression"'),
    "`ranks` is said of what looks at the order": ("scale =", "ranks = True\n    scale ="),
    "a metric is made without options": ("judges = ", "__init__ = input\n    judges = "),
    "shape () for 60 rows; return a number for each": (
        "return np",
        "return 1.0\n        return np",
    ),
    "gives list; return numbers": ("return np", "return ['a'] * 60\n        return np"),
    "gives inf for a row of truth 0 that was answered 0 (40 of 60 rows)": (
        "return np",
        "return np.where(truth, 1.0, np.inf)\n        return np",
    ),
    "ValueError: assignment destination is read-only (": ("return np", "truth[0] = 1; return np"),
    "ZeroDivisionError: division by zero (": ("return np", "1 / 0; return np"),
    "which its `scale` 'error' does not admit": ("return np", "return -1 - np"),
    "the same rows give ": ("return np", "return np.random.default_rng().random(60); np"),
    "it judges labels of multiclass, and the target is binary": ('("binary",)', '"multiclass"'),
}


@pytest.mark.parametrize("said", FAULTS)
def test_what_is_wrong_with_it_is_said_with_its_place(said: str, tmp_path: Path) -> None:
    old, new = FAULTS[said]
    assert old in COST
    path = f"{written(tmp_path, COST.replace(old, new))}.Cost"
    truth = np.arange(60) % 3 % 2
    with pytest.raises(MetricError) as caught:
        check([path], "binary", truth, 2, place="models.m.champion.metric")
    assert str(caught.value).startswith(f"models.m.champion.metric: {path}: ")
    assert said in str(caught.value)


def test_a_path_that_leads_nowhere_is_named() -> None:
    with pytest.raises(UnknownNameError, match=r"models\.m: metric: 'own\.nothing\.Cost'"):
        check(["own.nothing.Cost"], "binary", np.zeros(3), 2, place="models.m")
    with pytest.raises(KeyError):
        METRICS["recall"]


def test_the_lead_of_two_shares_is_at_most_one() -> None:
    truth, scores = np.arange(24) % 2, np.full((24, 2), 0.5)
    perfect = Prediction(labels=truth, scores=np.eye(2)[truth])
    useless = Prediction(labels=np.ones(24, dtype=int), scores=scores)
    leads = evaluate(truth, {"a": perfect, "b": useless}, ["ks", "roc_auc"])["advantage"]["b"]
    assert leads["ks"]["value"] == 1 == leads["ks"]["high"]
    assert leads["roc_auc"]["high"] <= 1
