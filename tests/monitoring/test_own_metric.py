"""A metric of one's own is watched once truths come in, beside what the gate was promised."""

from pathlib import Path

import numpy as np

from tests.own_classes import load_as_own
from tests.own_metrics import COST, KNOWN
from treeline.artifact import Prediction
from treeline.evaluation.intervals import evaluate
from treeline.monitoring.quality import Promise, cohorts, promise_tests, slices
from treeline.monitoring.windows import Labelled

DAY = 86_400


def labelled(rows: int, *, right: float, seed: int) -> Labelled:
    """Return answers over eight days, of which such a share is right."""
    chance = np.random.default_rng(seed)
    truth = chance.integers(0, 2, rows)
    labels = np.where(chance.random(rows) < right, truth, 1 - truth)
    scores = np.where(np.eye(2)[labels] > 0, 0.8, 0.2)
    times = np.sort(chance.uniform(0, 8 * DAY, rows))
    where = np.array(["north", "south"])[chance.integers(0, 2, rows)]
    return Labelled(times, Prediction(labels=labels, scores=scores), truth, {"place": where})


def test_it_is_tested_told_by_time_and_by_slice(tmp_path: Path) -> None:
    (tmp_path / "watched.py").write_text(COST + KNOWN)
    module = load_as_own(tmp_path / "watched.py")
    names = [f"{module}.Cost", f"{module}.F1"]
    before = labelled(800, right=0.9, seed=4)
    promised = evaluate(before.truth, {"champion": before.answers}, names)
    promise = Promise.of(promised, names)
    same = dict(promise_tests(promise, labelled(800, right=0.9, seed=5)))
    assert set(same) == set(names)
    assert not any(test.p < 0.01 and test.matters for test in same.values())
    worse = dict(promise_tests(promise, labelled(800, right=0.75, seed=6)))
    assert all(test.p < 1e-4 and test.matters for test in worse.values())

    found = labelled(800, right=0.9, seed=5)
    stretches = cohorts(found, names)
    assert len(stretches) == 8 and sum(each.labelled for each in stretches) == 800
    for each in (*stretches, *slices(found, names)):
        for name in names:
            figure = each.metrics[name]
            assert figure.low is not None and figure.high is not None
            assert figure.low <= figure.value <= figure.high
