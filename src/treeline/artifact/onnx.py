"""ONNX runtime: `model.onnx` → one inference session that predicts.

The graph takes `features`, float32 of shape (n_rows, n_features), and gives `label`, int64 of
shape (n_rows,), and `scores`, float32 of shape (n_rows, n_classes); without probabilities there is
no `scores`. A regression gives only `value`, float32 of shape (n_rows,).
"""

import os
from collections.abc import Mapping
from typing import Self

from treeline.artifact import Prediction
from treeline.contract.encoding import Matrix
from treeline.errors import ArtifactRejectedError

# Since 1.29 onnxruntime reports every session, with hashes of its model, to its makers, and keeps
# a device id on disk. It asks for this variable once, when it is imported: so this comes first.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

SIGNATURE_KEY = "treeline.signature"


class OnnxRuntime:
    """A model in memory, predicting through onnxruntime on one thread."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]

    @classmethod
    def load(cls, files: Mapping[str, bytes]) -> Self:
        """Open the graph among `files`; raises ArtifactRejectedError when it cannot be opened."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a record costs microseconds; workers are the parallelism
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            (graph,) = (body for name, body in files.items() if name.endswith(".onnx"))
            session = onnxruntime.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises a class of its own for each kind of fault
            raise ArtifactRejectedError(
                f"{', '.join(files)}: not a usable ONNX model: {error}"
            ) from error
        if [entry.name for entry in session.get_inputs()] != ["features"]:
            raise ArtifactRejectedError(
                f"{', '.join(files)}: the graph must have one input, `features`"
            )
        return cls(session)

    def predict(self, matrix: Matrix) -> Prediction:
        """Predict for a float32 matrix of shape (n_rows, n_features)."""
        outputs = dict(
            zip(self._outputs, self._session.run(None, {"features": matrix}), strict=True)
        )
        return Prediction(
            labels=outputs.get("label"), scores=outputs.get("scores"), values=outputs.get("value")
        )

    def embedded_signature(self) -> str | None:
        """Return the JSON of the signature carried inside the graph, if there is one."""
        carried: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        return carried.get(SIGNATURE_KEY)
