"""An example runs in a copy of the checkout, and leaves the checkout as it was."""

import pytest

from tests.checkout import ROOT, Checkout
from treeline.config import read_params

FRAUD = ROOT / "examples" / "fraud" / "params.yaml"
SMALLER = {
    "rows: 280000": "rows: 60000",
    "n_estimators: 120": "n_estimators: 20",
    "{max_depth: [3, 5], learning_rate: [0.05, 0.1]}": "{max_depth: [3]}",
    "{C: [0.01, 1]}": "{C: [1]}",
    "{ks: 0.65, roc_auc: 0.85}": "{ks: 0.2}",
}


def declare(clone: Checkout, name: str, text: str) -> None:
    path = clone.root / "examples" / name / "params.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)


def example(clone: Checkout, *arguments: str, good: bool = True) -> str:
    done = clone.python("-m", "treeline", "example", *arguments, good=good)
    return done.stdout if good else done.stderr


def test_payments_are_judged_by_ks_in_a_copy(fresh: Checkout) -> None:
    text = FRAUD.read_text()
    for large, small in SMALLER.items():
        assert large in text
        text = text.replace(large, small)
    declare(fresh, "fraud", text)
    (fresh.root / "examples/fraud/prepare.sh").write_text("echo prepared > prepared.txt\n")
    before = fresh.run("git", "status", "--porcelain").stdout
    told = example(fresh, "fraud").splitlines()
    assert told[-1] == "Report: build/examples/fraud/model/card-fraud/report.md"
    copy = fresh.root / "build/examples/fraud"
    assert "ks" in (copy / "model/card-fraud/report.md").read_text()
    assert (copy / "prepared.txt").read_text() == "prepared\n"
    assert (copy / "model/card-fraud/signature.json").is_file()
    assert fresh.run("git", "status", "--porcelain").stdout == before
    assert not (fresh.root / "model").exists()
    assert not (copy / ".dvc/cache").exists()  # it is that of the checkout
    again = example(fresh, "fraud")
    assert "Running stage" not in again
    declare(fresh, "broken", text.replace("card_fraud", "card_trick"))
    assert "`dvc repro` failed in build/examples/broken" in example(fresh, "broken", good=False)


@pytest.mark.parametrize("name", ["", "nothing", "../fraud"])
def test_an_example_that_is_not_there_is_told(fresh: Checkout, name: str) -> None:
    declare(fresh, "fraud", FRAUD.read_text())
    assert "not found; there are fraud" in example(fresh, *filter(None, [name]), good=False)
    assert not (fresh.root / "build").exists()


def test_a_repository_without_examples_names_the_way_to_one(fresh: Checkout) -> None:
    assert "treeline new DIR --example makes one" in example(fresh, "fraud", good=False)


def test_every_example_is_declared_and_explained() -> None:
    explained = (ROOT / "examples" / "README.md").read_text()
    paths = sorted((ROOT / "examples").glob("*/params.yaml"))
    assert FRAUD in paths
    for path in paths:
        assert read_params(path).models
        assert f"`{path.parent.name}`" in explained
