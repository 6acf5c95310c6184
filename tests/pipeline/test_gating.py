"""A refused model stops at its gate; the others go on, and its last good export stays."""

import json

from tests.checkout import Checkout


def test_a_refused_model_stops_and_the_others_go_on(clone: Checkout) -> None:
    good = clone.bytes_of("model/flowers/artifact/*") | clone.bytes_of(
        "model/flowers/signature.json"
    )
    clone.change("floor: {accuracy: 0.8}", "floor: {accuracy: 1.01}")
    clone.change("alpha: 0.1", "alpha: 0.2")
    done = clone.run("dvc", "repro", "--keep-going", good=False)
    assert "accuracy is" in done.stderr and "but at least 1.01 is asked" in done.stderr
    assert "Running stage 'export@sugar'" in done.stdout
    assert "Running stage 'export@flowers'" not in done.stdout
    verdict = json.loads((clone.root / "model/flowers/verdict.json").read_text())
    assert not verdict["passed"]
    assert (
        "# flowers was refused at the gate" in (clone.root / "model/flowers/report.md").read_text()
    )
    kept = clone.bytes_of("model/flowers/artifact/*") | clone.bytes_of(
        "model/flowers/signature.json"
    )
    assert kept == good


def test_a_perfect_score_is_a_leak_until_explained(clone: Checkout) -> None:
    clone.change("beats: baseline}\n\n  sugar", "ceiling: {accuracy: 0.5}}\n\n  sugar")
    done = clone.run("dvc", "repro", "export@flowers", good=False)
    assert "too good to be true" in done.stderr


def test_a_wrong_declaration_stops_before_anything_is_written(clone: Checkout) -> None:
    before = clone.bytes_of("model/**/*")
    clone.change("task: regression", "task: regresion")
    done = clone.run("dvc", "repro", "export@sugar", good=False)
    assert "params.yaml: models.sugar.target.task" in done.stderr
    assert clone.bytes_of("model/**/*") == before


def test_a_feature_that_the_data_lacks_is_named(clone: Checkout) -> None:
    clone.change("      bmi: {type: number}", "      bmy: {type: number}")
    done = clone.run("dvc", "repro", "export@sugar", good=False)
    assert "no column 'bmy'" in done.stderr and "'bmi'" in done.stderr
