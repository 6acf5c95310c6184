"""A session of Spark: where it runs, what it tells when it cannot, and that nothing is left."""

import os
import socket
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyspark", reason="needs pyspark: make setup-engines")

from pyspark import SparkContext

from tests.spark import NEEDS_JAVA
from treeline.engines.spark import answered, labelled, quiet, session
from treeline.errors import EngineError

pytestmark = [pytest.mark.xdist_group("spark"), NEEDS_JAVA]


def test_a_session_is_shared_inside_and_its_jvm_is_gone_after_it() -> None:
    with session("tests") as outer, quiet():
        with session("inner") as inner:
            assert inner is outer
        assert outer.range(3).count() == 3
        assert outer.conf.get("spark.driver.host") == "127.0.0.1"
        pid = SparkContext._gateway.proc.pid
        assert "org.apache.spark" in Path(f"/proc/{pid}/cmdline").read_text()
        matrix = np.arange(10, dtype=np.float32).reshape(5, 2)
        rows = labelled(outer, matrix, np.arange(5), partitions=3)
        assert rows.rdd.getNumPartitions() == 3
        given = rows.selectExpr("row", "label AS prediction", "features AS probability")
        found = answered(given)
    assert found["prediction"].tolist() == [0, 1, 2, 3, 4]
    assert found["probability"].tolist() == matrix.tolist()
    assert not Path(f"/proc/{pid}").exists()
    assert "PYSPARK_PYTHON" not in os.environ


def test_a_master_that_cannot_be_reached_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("SPARK_MASTER", f"spark://127.0.0.1:{port},nobody.invalid:7077")
    with pytest.raises(EngineError) as error, session("tests"):
        pass
    told = str(error.value)
    assert told.startswith(f"SPARK_MASTER=spark://127.0.0.1:{port},nobody.invalid:7077: no master")
    assert "Connection refused" in told
    assert told.endswith("unset the variable to use this machine")


def test_a_machine_without_java_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with (
        pytest.raises(EngineError, match=r"Spark needs Java 17 to 25, and none is in"),
        session("t"),
    ):
        pass
