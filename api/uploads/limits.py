"""This onnxruntime → the newest formats and operator sets that it opens, as it says itself."""

import re
from dataclasses import dataclass
from typing import Any

from api.tensors.sessions import open_session
from api.uploads.operators import OLDEST_OPSETS
from treeline.errors import ArtifactRejectedError

OLDEST_IR = 3  # with which ONNX became stable
DEFAULT = "ai.onnx"
FLOAT = 1
FAR_IN_THE_FUTURE = 9999


@dataclass(frozen=True)
class Limits:
    """The newest `ir_version`, and the newest operator set of each admitted domain."""

    ir_version: int
    opsets: dict[str, int]


def limits_of(model: Any) -> Limits:
    """Ask onnxruntime by offering it a model, of class `model`, from the future."""
    newest_ir = newest(model, r"max supported IR version: (\d+)", ir_version=FAR_IN_THE_FUTURE)
    opsets = {
        domain: newest(
            model, r"support for domain \S+ is till opset (\d+)", opset=(domain, FAR_IN_THE_FUTURE)
        )
        for domain in OLDEST_OPSETS
    }
    return Limits(newest_ir, opsets)


def newest(
    model: Any, told: str, *, ir_version: int = 8, opset: tuple[str, int] = (DEFAULT, 17)
) -> int:
    """Return the number that onnxruntime tells when it refuses a model of these versions."""
    asked = model(ir_version=ir_version)
    for domain, version in {DEFAULT: 17, **dict([opset])}.items():
        name = "" if domain == DEFAULT else domain  # by its long name, no version is compared
        asked.opset_import.add(domain=name, version=version)
    asked.graph.name = "question"
    asked.graph.node.add(op_type="Identity", input=["x"], output=["y"])
    for value in (asked.graph.input.add(name="x"), asked.graph.output.add(name="y")):
        value.type.tensor_type.elem_type = FLOAT
    try:
        open_session(asked.SerializeToString(), place="question")
    except ArtifactRejectedError as error:
        if found := re.search(told, str(error.__cause__)):
            return int(found[1])
    return FAR_IN_THE_FUTURE  # it refuses in other words, and will do so for the model too
