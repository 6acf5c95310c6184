"""A signature → the files that make a folder an MLflow model, beside the artifact it has anyway.

With them `mlflow.onnx.load_model` and `mlflow.pyfunc.load_model` open a registered version. MLflow
reads the JSON written here as the YAML it expects. What is served by another runtime than ONNX gets
none: a pickle is opened by its digest in git, not because a registry names it.
"""

import json
import sys
from typing import Any

from treeline.contract.signature import Signature

FILE = "MLmodel"
ENVIRONMENT, REQUIREMENTS = "python_env.yaml", "requirements.txt"
NEEDED = ("numpy", "onnx", "onnxruntime")


def mlmodel(signature: Signature, *, run: str) -> dict[str, str]:
    """Return the texts of those files by their path in the folder of the version."""
    graph = next((name for name in signature.files if name.endswith(".onnx")), None)
    if graph is None:
        return {}
    libraries = signature.lineage.libraries
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    onnx = {
        "data": graph,
        "onnx_version": libraries.get("onnx", ""),
        "providers": ["CPUExecutionProvider"],
    }
    function = {
        "loader_module": "mlflow.onnx",
        "data": graph,
        "python_version": python,
        "env": {"virtualenv": ENVIRONMENT},
    }
    document = {
        "run_id": run,
        "model_uuid": signature.version,
        "flavors": {"onnx": onnx, "python_function": function},
        "signature": _schema(signature),
        "metadata": {"features": list(signature.features)},
    }
    text = json.dumps(document, indent=2) + "\n"
    pinned = [f"{name}=={libraries[name]}" for name in NEEDED if name in libraries]
    environment = {"python": python, "dependencies": [f"-r {REQUIREMENTS}"]}
    return {
        FILE: text,
        f"{graph.rpartition('/')[0]}/{FILE}": text,  # the ONNX flavour looks beside the graph again
        ENVIRONMENT: json.dumps(environment) + "\n",
        REQUIREMENTS: "\n".join(["mlflow", *pinned]) + "\n",
    }


def _schema(signature: Signature) -> dict[str, str]:
    """Return the inputs and outputs of the graph, as `treeline.artifact.onnx` names them."""
    inputs = [_tensor("features", "float32", -1, len(signature.features))]
    if signature.target.task == "regression":
        outputs = [_tensor("value", "float32", -1)]
    else:
        outputs = [_tensor("label", "int64", -1)]
        scores = _tensor("scores", "float32", -1, len(signature.classes))
        outputs += [scores] if signature.probabilities else []
    return {"inputs": json.dumps(inputs), "outputs": json.dumps(outputs)}


def _tensor(name: str, dtype: str, *shape: int) -> dict[str, Any]:
    return {
        "type": "tensor",
        "tensor-spec": {"dtype": dtype, "shape": list(shape)},
        "name": name,
        "required": True,
    }
