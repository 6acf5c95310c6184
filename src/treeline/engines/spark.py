"""Spark: a session, and rows brought to it and back. The only module that imports pyspark."""

import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from py4j.protocol import Py4JError, Py4JJavaError
from pyspark import SparkContext
from pyspark.errors import PySparkException
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import col as column
from tqdm import tqdm

from treeline.engines.java import require_java
from treeline.engines.spark_master import MASTER, REMEDY, is_standalone, master, reach, settings
from treeline.errors import EngineError

JAVA = range(17, 26)
SECONDS_TO_SERVE = 60  # until a cluster gives its first executor
SECONDS_TO_END = 20  # of a JVM that has been asked to end
ROWS_AT_ONCE = 100_000  # in one message to a task; Spark refuses messages of more than 128 MB

FAILURES = (Py4JError, PySparkException)  # whatever a call into Spark raises


@contextmanager
def session(application: str) -> Iterator[SparkSession]:
    """Yield a session on SPARK_MASTER; at the end it is stopped and its JVM gone.

    Inside another session of this process the block gets that one, which goes on after it. Raises
    EngineError without Java, where the master cannot be reached within 10 seconds, and where its
    cluster gives no executor within 60.
    """
    running = SparkSession.getActiveSession()
    if running is not None:
        yield running
        return
    require_java("Spark", JAVA)
    reach(master())
    with tempfile.TemporaryDirectory(prefix="treeline-spark-") as folder, _environment():
        try:
            yield _started(application, master(), Path(folder))
        finally:
            _end()


@contextmanager
def quiet() -> Iterator[None]:
    """Hide what pyspark says of pandas 3 wherever it meets it, and what XGBoost tells of itself."""
    logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support", FutureWarning)
        yield


def labelled(
    started: SparkSession, matrix: NDArray[Any], target: NDArray[Any], *, partitions: int
) -> DataFrame:
    """Return rows as estimators of Spark's want them: `row`, `features` (a vector) and `label`.

    `matrix` is float32 of shape (n_rows, n_columns), `target` has shape (n_rows,). Which rows stand
    in which partition, and in which order, depends on nothing but their number.
    """
    parts = []
    for start in range(0, len(matrix), ROWS_AT_ONCE):
        part = np.asarray(matrix[start : start + ROWS_AT_ONCE], dtype=np.float32)
        ends = np.arange(len(part) + 1, dtype=np.int32) * part.shape[1]
        columns = {
            "row": np.arange(start, start + len(part)),
            "label": np.asarray(target[start : start + len(part)], dtype=np.float64),
            "numbers": pa.ListArray.from_arrays(ends, part.ravel()),
        }
        parts.append(started.createDataFrame(pa.table(columns)))
    whole = reduce(DataFrame.unionAll, parts)
    vectors = whole.select("row", array_to_vector(column("numbers")).alias("features"), "label")
    return vectors.repartition(partitions, "row").sortWithinPartitions("row")


def answered(rows: DataFrame) -> dict[str, NDArray[Any]]:
    """Return `prediction` and, if there is one, `probability` of rows, in the order of `row`.

    They have the shapes (n_rows,) and (n_rows, n_classes).
    """
    names = ["row", "prediction"]
    if "probability" in rows.columns:
        rows = rows.withColumn("shares", vector_to_array(column("probability")))
        names.append("shares")
    table = rows.select(*names).toArrow().sort_by("row")
    answers = {"prediction": table["prediction"].to_numpy()}
    if "shares" in names:
        flat = table["shares"].combine_chunks().flatten()
        answers["probability"] = np.asarray(flat).reshape(table.num_rows, -1)
    return answers


def streamed(rows: DataFrame) -> Iterator[pa.Table]:
    """Yield rows in their order, as tables of up to 10,000; one partition at a time is held here.

    Executors hand them over without a folder that all of them see, and need pyarrow, but not us.
    """

    def packed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, batch.schema) as writer:
                writer.write_batch(batch)
            payload = pa.array([sink.getvalue().to_pybytes()], pa.binary())
            yield pa.RecordBatch.from_arrays([payload], ["packed"])

    packets = rows.mapInArrow(packed, "packed binary")
    for packet in packets.toLocalIterator(prefetchPartitions=True):
        yield pa.ipc.open_stream(packet["packed"]).read_all()


def as_json(objects: list[Any]) -> str:
    """Return Java objects and those they hold as JSON: their fields, public or not, by name.

    It is written by the Jackson library, which Spark brings along.
    """
    jackson = SparkContext._jvm.com.fasterxml.jackson
    mapper = jackson.databind.ObjectMapper()
    scala = getattr(jackson.module.scala, "DefaultScalaModule$")
    mapper.registerModule(getattr(scala, "MODULE$"))
    visible = getattr(jackson.annotation, "JsonAutoDetect$Visibility")
    mapper.setVisibility(jackson.annotation.PropertyAccessor.FIELD, visible.ANY)
    mapper.setVisibility(jackson.annotation.PropertyAccessor.GETTER, visible.NONE)
    return str(mapper.writeValueAsString(objects))


def reason(error: BaseException) -> str:
    """Return what Spark says of a failure, in one line and without the stack of its JVM."""
    messages = [str(error)]
    if isinstance(error, Py4JJavaError):
        messages = [str(cause.getMessage() or cause.toString()) for cause in _causes(error)]
    named = [
        text for text in messages if text.startswith("[")
    ]  # by a name of Spark's for the fault
    text = (named or messages[-1:])[0].partition("JVM stacktrace:")[0]
    said = [line.strip() for line in text.splitlines() if line.strip()] or [type(error).__name__]
    return said[-1] if "Traceback (most recent call last):" in said else said[0]


def _causes(error: Py4JJavaError) -> Iterator[Any]:
    cause = error.java_exception
    while cause is not None:
        yield cause
        cause = cause.getCause()


def _started(application: str, address: str, folder: Path) -> SparkSession:
    try:
        builder = SparkSession.builder.master(address).appName(application)
        for key, value in settings(address, folder).items():
            builder = builder.config(key, value)
        with quiet():
            made: SparkSession = builder.getOrCreate()
        if is_standalone(address):
            _await_executors(made, address)
    except (*FAILURES, OSError, RuntimeError) as error:
        raise EngineError(
            f"{MASTER}={address}: no session could be started: {reason(error)}; {REMEDY}"
        ) from error
    return made


@contextmanager
def _environment() -> Iterator[None]:
    """Let executors run this very Python, unless the machine names another for them."""
    added = {"PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
    added = {key: value for key, value in added.items() if key not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for key in added:
            os.environ.pop(key, None)


def _await_executors(made: SparkSession, address: str) -> None:
    """Wait for the first executor: without one the first job waits for ever, and in silence."""
    context = made.sparkContext._jsc.sc()
    until = time.monotonic() + SECONDS_TO_SERVE
    while context.isStopped() or context.getExecutorMemoryStatus().size() < 2:  # one is the driver
        if context.isStopped():
            raise EngineError(
                f"{MASTER}={address}: something listens there, but no master of Spark answered; "
                f"{REMEDY}"
            )
        if time.monotonic() > until:
            raise EngineError(
                f"{MASTER}={address}: the cluster gave no executor within {SECONDS_TO_SERVE} s; "
                "are its workers alive, and is a core and the memory of one executor free?"
            )
        time.sleep(0.2)


def _end() -> None:
    """Stop the session and wait until its JVM is gone; pyspark alone keeps the JVM till we exit."""
    context, gateway = SparkContext._active_spark_context, SparkContext._gateway
    running = SparkSession.getActiveSession()
    try:
        if running is not None:
            running.stop()
        elif context is not None:
            context.stop()
    except FAILURES:
        pass  # the JVM died before us, which is what was wanted
    if gateway is None:
        return
    gateway.shutdown()
    process: subprocess.Popen[bytes] = gateway.proc
    assert process.stdin is not None
    process.stdin.close()  # the JVM ends when nobody holds its input any more
    try:
        process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    SparkContext._gateway = SparkContext._jvm = None


EVERY_SECONDS = 0.5


@contextmanager
def shown(spark: Any, title: str) -> Iterator[None]:
    """Show how many tasks of the running stages are done, while the block waits for Spark.

    `spark` is a session. Where no person watches there is neither bar nor thread.
    """
    if not sys.stderr.isatty():
        yield
        return
    over = threading.Event()
    watching = threading.Thread(target=_watch, args=(spark.sparkContext, title, over), daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


def _watch(context: Any, title: str, over: threading.Event) -> None:
    tracker = context.statusTracker()
    with tqdm(desc=title, unit=" tasks", leave=False) as bar:
        while not over.wait(EVERY_SECONDS):
            stages = [tracker.getStageInfo(number) for number in tracker.getActiveStageIds()]
            stages = [stage for stage in stages if stage is not None]
            bar.total = sum(stage.numTasks for stage in stages) or None
            bar.n = sum(stage.numCompletedTasks for stage in stages)
            bar.refresh()
