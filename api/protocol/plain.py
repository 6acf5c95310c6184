"""Models without a signature: the tensors that their graph takes and gives, under its own names."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from api.protocol.tensors import BYTES, Tensor, datatype_of
from api.tensors.graph import STRING, TensorModel, TensorSpec, one_line
from treeline.errors import InvalidInputError, Problem

Json = dict[str, Any]


class PlainModel:
    """A tensor model, as the protocol sees it."""

    def __init__(self, model: TensorModel) -> None:
        self.name, self.version = model.name, model.version
        self._model = model

    def metadata(self) -> Json:
        """Return what the protocol calls the metadata of the model."""
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": "onnxruntime_onnx",
            "inputs": [described(spec) for spec in self._model.inputs],
            "outputs": [described(spec) for spec in self._model.outputs],
        }

    def outputs(self) -> list[str]:
        """Return the names of all outputs."""
        return [spec.name for spec in self._model.outputs]

    def infer(self, inputs: Mapping[str, Tensor], wanted: Sequence[str]) -> list[Tensor]:
        """Return the outputs that are wanted, in that order; raises InvalidInputError."""
        problems = misfits(self._model.inputs, inputs)
        if problems:
            raise InvalidInputError(problems)
        feeds = {name: np.ascontiguousarray(each.array) for name, each in inputs.items()}
        try:
            found = self._model.run(feeds)
        except Exception as error:  # onnxruntime raises a class of its own for each kind of fault
            text = f"the graph refuses them: {one_line(error)}"
            raise InvalidInputError([Problem("inputs", text)]) from error
        return [Tensor(name, datatype_of(found[name].dtype), found[name]) for name in wanted]


def described(spec: TensorSpec) -> Json:
    """Return the metadata of one tensor; -1 is a dimension of any size."""
    shape = [-1 if size is None else size for size in spec.shape]
    return {"name": spec.name, "datatype": named(spec), "shape": shape}


def named(spec: TensorSpec) -> str:
    """Return the protocol's name of the dtype of a tensor."""
    return BYTES if spec.dtype == STRING else datatype_of(spec.dtype)


def misfits(specs: Sequence[TensorSpec], inputs: Mapping[str, Tensor]) -> list[Problem]:
    """Return what keeps tensors from being the inputs of a graph."""
    known = {spec.name: spec for spec in specs}
    names = ", ".join(known)
    found = [
        Problem(name, f"is not an input of this model; its inputs are: {names}")
        for name in inputs
        if name not in known
    ]
    for name, spec in known.items():
        if name in inputs:
            found += misfit(spec, inputs[name])
        else:
            shape = described(spec)["shape"]
            found.append(Problem(name, f"is missing; give {named(spec)} of shape {shape}"))
    return found


def misfit(spec: TensorSpec, tensor: Tensor) -> list[Problem]:
    """Return what keeps a tensor from being one input of a graph."""
    shape, wanted = tensor.array.shape, described(spec)
    if tensor.datatype != wanted["datatype"]:
        return [Problem(spec.name, f"is {tensor.datatype}; give {wanted['datatype']}")]
    if tensor.missing is not None:
        return [Problem(spec.name, "holds null, and this model knows no missing values")]
    sizes = zip(shape, spec.shape, strict=False)
    if len(shape) != len(spec.shape) or any(want not in (None, size) for size, want in sizes):
        return [Problem(spec.name, f"has the shape {list(shape)}; give {wanted['shape']}")]
    return []
