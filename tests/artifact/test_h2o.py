"""The H2O runtime: a model in a JVM beside the process, which ends with it."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.h2o_models import FEATURES, fitted, jvms, made_up, need_java
from tests.waiting import wait_until
from treeline.artifact.pickled import predict
from treeline.contract.encoding import Encoder
from treeline.errors import ArtifactRejectedError

pytest.importorskip("h2o", reason="needs h2o: make setup-engines")

from treeline.artifact.h2o import (
    FOLDER,
    MODEL_FILE,
    H2OEstimator,
    H2ORuntime,
    csv,
    prediction,
    shared,
)

START_SECONDS = 90

HOLD = """
import pickle, sys, time
from treeline.artifact.h2o import shared
pickle.load(open(sys.argv[1], "rb")).predict([[0, 0.5, 1]])
print(shared().folder, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def estimator() -> Iterator[H2OEstimator]:
    """A model that has been through a pickle, as the stages pass it on."""
    need_java()
    found: H2OEstimator = pickle.loads(pickle.dumps(fitted(made_up()).estimator))
    yield found
    shared().stop()


def test_the_runtime_repeats_the_estimator(estimator: H2OEstimator) -> None:
    frame = made_up().frame
    runtime = H2ORuntime.load({f"artifact/{k}": v for k, v in estimator.artifact_files().items()})
    expected, found = predict(estimator, frame), runtime.predict(frame.to_numpy())
    np.testing.assert_array_equal(expected.scores, found.scores)
    np.testing.assert_array_equal(expected.labels, found.labels)
    assert runtime.embedded_signature() is None


def test_a_row_is_predicted_the_same_alone_and_among_others(estimator: H2OEstimator) -> None:
    matrix = Encoder(FEATURES).matrix(
        [
            {"Soil, or not": "sand", "Light": 0.1, "target": True},
            {"Soil, or not": "peat", "Light": None, "target": False},
        ]
    )
    together = estimator.predict_proba(matrix)
    assert np.array_equal(estimator.predict_proba(matrix[:1]), together[:1])
    assert np.array_equal(estimator.predict_proba(matrix[1:]), together[1:])
    assert together[0, 1] > 0.7 and together[1, 1] < 0.3


def test_a_jvm_that_died_is_started_again_and_has_its_models(estimator: H2OEstimator) -> None:
    matrix = made_up().frame.to_numpy()[:5]
    expected = estimator.predict_proba(matrix)
    (jvm,) = jvms(os.getpid())
    os.kill(jvm, signal.SIGKILL)
    assert np.array_equal(estimator.predict_proba(matrix), expected)
    assert jvms(os.getpid()) not in ([], [jvm])


def test_the_jvm_ends_with_its_process_however_that_ends(
    estimator: H2OEstimator, tmp_path: Path
) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(estimator))
    own = {name: value for name, value in os.environ.items() if name != FOLDER}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "model.pkl"],
        env={**own, "H2O_MEMORY": "256m"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        (jvm,) = jvms(process.pid)
        assert "-Xmx256m" in Path(f"/proc/{jvm}/cmdline").read_text()
        process.kill()
    wait_until(lambda: not Path(f"/proc/{jvm}").exists(), seconds=10, what="the JVM has ended")
    wait_until(lambda: not folder.exists(), seconds=10, what="its folder is removed")


def test_who_does_not_know_the_password_is_not_answered(estimator: H2OEstimator) -> None:
    estimator.predict([[0, 0.5, 1]])
    folder = shared().folder
    assert folder.stat().st_mode & 0o077 == 0
    url = f"http://{(folder / 'address').read_text()}/3/About"
    told = subprocess.run(
        [sys.executable, "-c", "import sys, urllib.request as r; r.urlopen(sys.argv[1])", url],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "401" in told.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"h2o": "3.0.0.1"}, r"saved by H2O 3\.0\.0\.1.*install h2o==3\.0\.0\.1"),
        ({"key": "another"}, "and was to be another"),
        ({"classes": -1}, "not a model of H2O"),
    ],
    ids=["version", "key", "classes"],
)
def test_what_it_cannot_serve_is_refused(
    estimator: H2OEstimator, change: dict[str, Any], message: str
) -> None:
    described = estimator.description.model_copy(update=change)
    with pytest.raises(ArtifactRejectedError, match=message):
        H2ORuntime.load(H2OEstimator(described, estimator.body).artifact_files())


def test_two_models_of_one_name_are_not_confused(estimator: H2OEstimator) -> None:
    files = {**estimator.artifact_files(), MODEL_FILE: estimator.body + b"\0"}
    with pytest.raises(ArtifactRejectedError, match="as another model that is served here"):
        H2ORuntime.load(files)


def test_numbers_are_written_as_short_as_they_can_be_read_back() -> None:
    matrix = np.array([[0.1, 1], [np.nan, np.nan], [-1.17549435e-38, 3]], dtype=np.float32)
    text = csv(matrix, ["real", "enum"])
    assert text == b"0,0.1,c0001\n0,,\n0,-1.1754944e-38,c0003\n"


def test_a_class_that_was_missing_in_training_has_no_probability() -> None:
    found = prediction(b'"predict","c0000","c0002"\n"c0000",0.4,0.6\n', classes=3)
    assert found.scores is not None and found.scores.tolist() == [[0.4, 0.0, 0.6]]
    assert found.labels is not None and found.labels.tolist() == [2]
