"""Classes of a user's own in src/own: followed by the stages of the models that name them."""

import json
from typing import Any

from tests.checkout import Checkout

SCALED = '''\
"""A step of a user's own."""

from sklearn.base import BaseEstimator


class Scaled(BaseEstimator):
    def __init__(self, factor=2):
        self.factor = factor

    def fit(self, frame, target=None):
        self.fitted_ = True
        return self

    def transform(self, frame):
        return frame * self.factor
'''
BEFORE = "logistic: {estimator: sklearn"
AFTER = "logistic: {preprocessors: own.scaling.Scaled, estimator: sklearn"


def test_a_class_of_ones_own_trains_its_model_again_and_no_other(clone: Checkout) -> None:
    code = clone.root / "src" / "own" / "scaling.py"
    code.write_text(SCALED)
    clone.change(BEFORE, AFTER)
    assert _run_by(clone) >= {"train@flowers", "evaluate@flowers", "export@flowers"}
    first, others = _signature(clone, "flowers"), clone.bytes_of("model/sugar/*")
    assert first["runtime"] == "pickle" and "method `plain`" in first["parity"]["note"]

    # The pickle names its class and does not hold it: it stays the same, and what it does is other.
    code.write_text(SCALED + "\n\nUNUSED = 1\n")
    followed = {f"{stage}@flowers" for stage in ("train", "evaluate", "export")}
    assert _run_by(clone) == {"digest", *followed}
    second = _signature(clone, "flowers")
    assert second["lineage"]["code"] != first["lineage"]["code"]
    assert second["lineage"]["params"] == first["lineage"]["params"]
    assert clone.bytes_of("model/sugar/*") == others

    for stage in ("train", "evaluate", "export"):
        assert (
            "own/scaling.py"
            in json.loads(
                (clone.root / "model" / "inputs" / "flowers" / f"{stage}.json").read_text()
            )["code"]
        )
    assert _run_by(clone) == set()
    code.write_text(code.read_text() + "# and one more\n")
    assert _run_by(clone) == {"digest"}


def test_a_class_beside_the_declaration_is_refused_before_anything_runs(clone: Checkout) -> None:
    (clone.root / "src" / "scaling.py").write_text(SCALED)
    clone.change(BEFORE, AFTER.replace("own.scaling", "scaling"))
    told = clone.python("-m", "treeline", "params", good=False).stderr
    assert "params.yaml: models.flowers.candidates.logistic.preprocessors: " in told
    assert "move its module into src/own and name it own.<module>.<class>" in told
    assert "Traceback" not in told


def _run_by(clone: Checkout) -> set[str]:
    """Reproduce, and return the names of the stages that ran."""
    said = clone.run("dvc", "repro").stdout
    return {line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")}


def _signature(clone: Checkout, model: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (clone.root / "model" / model / "signature.json").read_text()
    )
    return found
