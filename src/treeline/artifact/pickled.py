"""Pickle runtime: `model.pkl` → the fitted pipeline itself, where no ONNX converter exists.

Loading a pickle runs code. It is opened only by a store that admits pickles, and only
after its digest was found equal to the one in the committed signature. It needs the libraries it
was trained with: the extra `pickle`. In the pipeline it is the record of the training, in
git, that names the digests.
"""

import hashlib
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from treeline.artifact import Prediction
from treeline.contract.encoding import Matrix
from treeline.errors import ArtifactRejectedError

PROTOCOL = 4  # named, for the default is not the same in every version of Python


def pickled(estimator: Any) -> bytes:
    """Return an estimator as a pickle: the same bytes from every version of Python."""
    return pickle.dumps(estimator, protocol=PROTOCOL)


def opened(path: Path, *, digests: Mapping[str, str]) -> Any:
    """Unpickle a file of the training, if its digest is the one under its name in `digests`.

    Raises ArtifactRejectedError before anything in it is run.
    """
    payload = path.read_bytes()
    actual = hashlib.sha256(payload).hexdigest()
    if digests.get(path.name) != actual:
        raise ArtifactRejectedError(
            f"{path}: its SHA-256 is {actual}, and the training that git has wrote "
            f"{digests.get(path.name, 'none that it names')}: it is not opened, for it can run "
            "code; fetch it again (make pull), or train anew (make train MODEL=…)"
        )
    return pickle.loads(payload)


class PickleRuntime:
    """A fitted scikit-learn pipeline in memory."""

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator

    @classmethod
    def load(cls, files: Mapping[str, bytes]) -> Self:
        """Unpickle the one file among `files`, whose digest the caller has checked."""
        try:
            (payload,) = (body for name, body in files.items() if name.endswith(".pkl"))
            return cls(pickle.load(io.BytesIO(payload)))
        except Exception as error:  # a pickle can raise anything its classes raise
            raise ArtifactRejectedError(
                f"{', '.join(files)}: cannot be unpickled here: {type(error).__name__}: {error}; "
                "serve it with the library versions named in its signature"
            ) from error

    def predict(self, matrix: Matrix) -> Prediction:
        """Predict for a float32 matrix of shape (n_rows, n_features)."""
        return predict(self._estimator, matrix)

    def embedded_signature(self) -> str | None:
        """Return None: a pickle carries no signature."""
        return None


def predict(estimator: Any, matrix: Any) -> Prediction:
    """Let a fitted pipeline predict for float32 codes of shape (n_rows, n_features)."""
    predicted = np.asarray(estimator.predict(matrix))
    if not (hasattr(estimator, "classes_") or np.issubdtype(predicted.dtype, np.integer)):
        return Prediction(values=predicted)
    scores = estimator.predict_proba(matrix) if hasattr(estimator, "predict_proba") else None
    return Prediction(labels=predicted, scores=scores)
