"""What is recorded of a training, from the files the pipeline wrote; no tracker is needed."""

import json

import pytest

from tests.trackers.training import ORIGIN, Training
from treeline.errors import TrackingError
from treeline.trackers import outbox
from treeline.trackers.record import recorded


def test_every_trial_of_every_candidate_is_in_the_record(training: Training) -> None:
    record = training.record()
    trees = [trial for trial in record.trials if trial.tags["treeline.candidate"] == "tree"]
    assert len(trees) == 27 and len(record.trials) == 28  # the baseline is one more
    assert len({json.dumps(trial.hyperparameters) for trial in trees}) == 27
    assert all(len(values) == 3 for trial in trees for values in trial.folds.values())
    assert {"roc_auc", "accuracy"} <= set(trees[0].folds)
    assert trees[0].hyperparameters["random_state"] == 0, "an option is a parameter too"
    assert [trial.tags["treeline.best"] for trial in trees].count("true") == 1


def test_the_same_training_has_the_same_digest_whenever_it_is_recorded(training: Training) -> None:
    record = training.record()
    later = recorded(training.written(), ORIGIN.model_copy(update={"ended": 1, "commit": "c0ffee"}))
    assert record.digest == later.digest
    training.judge("floor: {roc_auc: 0.6}")
    assert training.record().digest != record.digest


def test_a_refused_training_has_its_verdict_and_exports_nothing(training: Training) -> None:
    assert not training.judge("ceiling: {roc_auc: 0.9}")
    record = training.record()
    assert record.exported is None
    assert not [name for name in record.files if name.startswith("model/")]
    assert record.tags["treeline.verdict"] == "refused"
    assert "**The gate refused it:**" in record.note and "too good to be true" in record.note


def test_files_of_different_trainings_are_not_recorded_as_one(training: Training) -> None:
    metrics = json.loads(training.paths.metrics.read_text())
    training.paths.metrics.write_text(json.dumps({**metrics, "accuracy": 0.1}))
    with pytest.raises(TrackingError, match=r"signature\.json: not of this training"):
        training.record()


def test_an_artifact_that_is_not_the_signed_one_is_not_recorded(training: Training) -> None:
    [graph] = (training.root / training.paths.artifact).glob("*.onnx")
    graph.write_bytes(graph.read_bytes() + b"\0")
    with pytest.raises(TrackingError, match=r"model\.onnx: not the one that .* names"):
        training.record()


def test_a_model_that_was_not_trained_is_named(training: Training) -> None:
    training.paths.training.unlink()
    with pytest.raises(TrackingError, match=r"training\.json: not there"):
        training.record()


def test_what_waits_is_whole_and_comes_in_the_order_of_training(training: Training) -> None:
    later = recorded(training.written(), ORIGIN.model_copy(update={"ended": ORIGIN.ended + 1}))
    outbox.post(later, training.written())
    training.judge("floor: {roc_auc: 0.6}")
    outbox.post(training.record(), training.written())
    found = outbox.waiting()
    assert [record.origin.ended for record, _ in found] == [ORIGIN.ended, ORIGIN.ended + 1]
    for record, files in found:
        there = {str(path.relative_to(files)) for path in files.rglob("*") if path.is_file()}
        assert there == set(record.files)
    outbox.sent(found[0][1])
    assert [record.digest for record, _ in outbox.waiting()] == [later.digest]
