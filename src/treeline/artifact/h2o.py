"""H2O runtime: `model.h2o` → a model in a JVM beside this process, which predicts over HTTP.

The open client of H2O exports a model in no other form than its own binary, which only the same
version of H2O reads. One JVM serves all models of a process and of those forked or spawned from
it. It is started with the first model, started again when it dies, and ends with the last of them.
"""

import atexit
import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from functools import partial
from math import isnan
from pathlib import Path
from threading import Lock
from typing import Any, Self
from urllib.parse import quote
from uuid import uuid4

import h2o
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from treeline.artifact import Prediction
from treeline.contract.encoding import Matrix, in_order
from treeline.contract.features import Closed, Feature
from treeline.engines.h2o_server import H2OServer, UnknownKeyError
from treeline.engines.supervision import SupervisedProgram
from treeline.errors import ArtifactRejectedError, EngineError

ROW = "row"  # a column that is never empty: H2O skips lines that are


def level(code: int) -> str:
    """Return the factor level of a category or of a class."""
    return f"c{code:04d}"


def kinds(features: Mapping[str, Feature]) -> list[str]:
    """Return the kind of each column as H2O calls it: `enum` for a category, else `real`."""
    return ["enum" if feature.categories else "real" for feature in features.values()]


def columns(columns_kinds: Sequence[str]) -> dict[str, str]:
    """Return the kinds of all columns of a frame by name."""
    named = {f"x{place}": kind for place, kind in enumerate(columns_kinds)}
    return {ROW: "real", **named}


def csv(matrix: Matrix, columns_kinds: Sequence[str], *more: Sequence[str]) -> bytes:
    """Return float32 codes of shape (n_rows, n_features), and more columns, as CSV."""
    texts = [
        _texts(values, factor=kind == "enum")
        for values, kind in zip(matrix.T, columns_kinds, strict=True)
    ]
    rows = zip(["0"] * len(matrix), *texts, *more, strict=True)
    return "".join(",".join(row) + "\n" for row in rows).encode()


def _texts(values: NDArray[np.float32], *, factor: bool) -> list[str]:
    """Return the shortest text that is read as the same float32, of each value."""
    if factor:
        return ["" if isnan(code) else level(int(code)) for code in values.tolist()]
    texts = values.astype("U16")
    texts[np.isnan(values)] = ""
    shortest: list[str] = texts.tolist()
    return shortest


def prediction(answer: bytes, *, classes: int) -> Prediction:
    """Return what H2O predicts; `classes` is how many there are, 0 for a regression.

    A label is the class of the highest probability, as with every other estimator here, and not
    that of H2O, whose threshold maximises F1 on the training rows. A class that was missing
    there has probability 0.
    """
    header, _, body = answer.partition(b"\n")
    names = [name.strip('"') for name in header.decode().split(",")]
    if not classes:
        return Prediction(values=_numbers(body, [names.index("predict")])[:, 0])
    levels = [name for name in names if name != "predict"]
    shares = _numbers(body, [names.index(name) for name in levels])
    scores = np.zeros((len(shares), classes))
    scores[:, [int(name[1:]) for name in levels]] = shares
    return Prediction(labels=np.argmax(scores, axis=1), scores=scores)


def _numbers(body: bytes, places: Sequence[int]) -> NDArray[Any]:
    """Return columns of CSV as float64 of shape (n_rows, n_places)."""
    return np.loadtxt(io.BytesIO(body), delimiter=",", usecols=places, ndmin=2, quotechar='"')


JAR = Path(h2o.__file__).parent / "backend" / "bin" / "h2o.jar"
VERSION: str = h2o.__version__
MODEL_FILE, DESCRIPTION_FILE = "model.h2o", "model.json"
MEMORY, FOLDER = "H2O_MEMORY", "TREELINE_H2O_FOLDER"
RESTARTS = 3
MOST_ROWS = 100_000  # in one question

_starting = Lock()
_servers: dict[str, H2OServer] = {}
_digests: dict[str, str] = {}


class Description(Closed):
    """What a prediction with a binary model needs: columns by kind, how many classes there are."""

    h2o: str
    key: str
    kinds: tuple[str, ...]
    classes: int = Field(ge=0, description="0 for a regression")


class H2ORuntime:
    """A model in H2O, which puts it there again when H2O was started anew."""

    def __init__(self, description: Description, body: bytes) -> None:
        self._description = description
        self._body = body
        self._columns = columns(description.kinds)

    @classmethod
    def load(cls, files: Mapping[str, bytes]) -> Self:
        """Give the model to H2O, starting that if need be.

        The digests of `files` are checked: H2O builds objects out of what it reads, as a pickle
        does. Raises ArtifactRejectedError.
        """
        place = ", ".join(files)
        by_end = {Path(name).name: body for name, body in files.items()}
        try:
            description = Description.model_validate_json(by_end[DESCRIPTION_FILE])
            runtime = cls(description, by_end[MODEL_FILE])
        except (KeyError, ValidationError) as error:
            raise ArtifactRejectedError(f"{place}: not a model of H2O: {error}") from error
        if description.h2o != VERSION:
            raise ArtifactRejectedError(
                f"{place}: saved by H2O {description.h2o}, and {VERSION} is installed, which "
                f"cannot read it; install h2o=={description.h2o}, or train the model again"
            )
        digest = hashlib.sha256(runtime._body).hexdigest()
        if _digests.setdefault(description.key, digest) != digest:
            raise ArtifactRejectedError(
                f"{place}: H2O calls it {description.key}, as another model that is served here; "
                "train one of them again"
            )
        try:
            shared().retry_once_if_lost(runtime._put)
        except EngineError as error:
            raise ArtifactRejectedError(f"{place}: H2O does not take it: {error}") from error
        return runtime

    def predict(self, matrix: Matrix) -> Prediction:
        """Predict for a float32 matrix of shape (n_rows, n_features); raises EngineError."""
        server = shared()
        parts = [
            server.retry_once_if_lost(
                partial(self._predict_part, matrix[start : start + MOST_ROWS])
            )
            for start in range(0, max(1, len(matrix)), MOST_ROWS)
        ]
        return parts[0] if len(parts) == 1 else _joined(parts)

    def embedded_signature(self) -> str | None:
        """Return None: the binary carries no signature."""
        return None

    def _predict_part(self, matrix: Matrix) -> Prediction:
        server, mark = shared(), uuid4().hex
        rows, predictions = f"rows_{mark}", f"predictions_{mark}"
        server.put_frame(rows, csv(matrix, self._description.kinds), self._columns)
        path = f"/3/Predictions/models/{quote(self._description.key)}/frames/{rows}"
        try:
            try:
                server.request("POST", path, predictions_frame=predictions)
            except UnknownKeyError:
                self._put()
                server.request("POST", path, predictions_frame=predictions)
            return prediction(server.frame_csv(predictions), classes=self._description.classes)
        finally:
            server.forget([rows, predictions])

    def _put(self) -> None:
        """Give the model to H2O, in which it has the name that it was trained under."""
        server, name = shared(), f"file_{uuid4().hex}"
        server.exchange("POST", f"/3/PostFile.bin?destination_frame={name}", self._body)
        answer = server.request("POST", "/99/Models.upload.bin/", dir=name)
        key = answer["models"][0]["model_id"]["name"]
        if key != self._description.key:
            raise EngineError(f"it is called {key}, and was to be {self._description.key}")


class H2OEstimator:
    """A fitted model as the stages pass it on: its files, and a runtime that predicts with them.

    It predicts what the service predicts, for both use that runtime.
    """

    runtime = "h2o"

    def __init__(self, description: Description, body: bytes, names: Sequence[str] = ()) -> None:
        """Take `names` of the features, by which the columns of a frame are read."""
        self.description = description
        self.body = body
        self.names = tuple(names)
        self._loaded: H2ORuntime | None = None

    def artifact_files(self) -> dict[str, bytes]:
        """Return the files of which the runtime is made, by name."""
        document = self.description.model_dump_json(indent=2) + "\n"
        return {MODEL_FILE: self.body, DESCRIPTION_FILE: document.encode()}

    def predict(self, frame: Any) -> Any:
        """Return codes or values of shape (n_rows,) for codes of shape (n_rows, n_features)."""
        prediction = self._predicted(frame)
        return prediction.values if prediction.labels is None else prediction.labels

    def predict_proba(self, frame: Any) -> Any:
        """Return probabilities of shape (n_rows, n_classes)."""
        return self._predicted(frame).scores

    def __getattr__(self, name: str) -> Any:
        if name == "classes_" and self.__dict__.get("description") and self.description.classes:
            return np.arange(self.description.classes)
        raise AttributeError(name)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loaded": None}

    def _predicted(self, frame: Any) -> Prediction:
        if self._loaded is None:
            self._loaded = H2ORuntime.load(self.artifact_files())
        named = in_order(frame, self.names) if self.names else frame
        return self._loaded.predict(np.asarray(named, dtype=np.float32))


def shared() -> H2OServer:
    """Return the H2O of this process, starting it if need be; raises EngineError.

    A process that is started by this one finds it by a variable of the environment.
    """
    with _starting:
        folder = os.environ.get(FOLDER, "")
        if folder and Path(folder).is_dir():
            if folder not in _servers:
                _servers[folder] = H2OServer(SupervisedProgram("H2O", folder=Path(folder)))
            return _servers[folder]
        server = H2OServer.start(JAR, memory=os.environ.get(MEMORY, "1g"), restarts=RESTARTS)
        atexit.register(server.stop)
        os.environ[FOLDER] = str(server.folder)
        _servers[str(server.folder)] = server
        return server


def _joined(parts: list[Prediction]) -> Prediction:
    """Return the predictions of all parts as one."""

    def whole(name: str) -> Any:
        arrays = [getattr(part, name) for part in parts]
        return None if arrays[0] is None else np.concatenate(arrays)

    return Prediction(labels=whole("labels"), scores=whole("scores"), values=whole("values"))
