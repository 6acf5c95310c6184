"""Models without a signature: the tensors that their graph takes and gives, under its own names."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from api.formats.tensors import BYTES, Tensor, datatype_of
from api.inference.graph import MOST_RANK, STRING, Array, GraphFile, Output, TensorModel, TensorSpec
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
            "outputs": [described(spec) for spec in self._model.outputs if not spec.sequence],
        }

    def outputs(self) -> list[str]:
        """Return the names of all outputs that the protocol can carry."""
        return [spec.name for spec in self._model.outputs if not spec.sequence]

    def check_outputs(self, wanted: Collection[str]) -> None:
        """Raise InvalidInputError where a sequence is wanted, or there is nothing else."""
        text = f"is a sequence, which no tensor is; POST to /v1/models/{self.name}/predict"
        sequences = [spec.name for spec in self._model.outputs if spec.sequence]
        problems = [
            Problem(name, text) for name in sequences if name in wanted or not self.outputs()
        ]
        if problems:
            raise InvalidInputError(problems)

    @property
    def graph(self) -> GraphFile:
        """What is run."""
        return self._model.graph

    def feeds(self, inputs: Mapping[str, Tensor]) -> dict[str, Array]:
        """Return what the graph is given; raises InvalidInputError."""
        problems = misfits(self._model.inputs, inputs)
        if problems:
            raise InvalidInputError(problems)
        return {name: np.ascontiguousarray(each.array) for name, each in inputs.items()}


def tensors(outputs: Mapping[str, Output], wanted: Sequence[str]) -> list[Tensor]:
    """Return the outputs that are wanted, in that order; none is a sequence."""
    arrays = {name: each for name, each in outputs.items() if not isinstance(each, list)}
    return [Tensor(name, datatype_of(arrays[name].dtype), arrays[name]) for name in wanted]


def described(spec: TensorSpec) -> Json:
    """Return the metadata of one tensor; -1 is a dimension of any size.

    For a shape of which nothing is known, the protocol has no word.
    """
    description: Json = {"name": spec.name, "datatype": named(spec), "shape": shape_of(spec)}
    if spec.shape is None:
        description["parameters"] = {"any_rank": True}
    if spec.classes:
        description["parameters"] = {"labels": list(spec.classes)}
    return description


def shape_of(spec: TensorSpec) -> list[int]:
    """Return the shape of a tensor as the protocol writes it."""
    return [-1] if spec.shape is None else [-1 if size is None else size for size in spec.shape]


def named(spec: TensorSpec) -> str:
    """Return the protocol's name of the dtype of a tensor."""
    return BYTES if spec.dtype == STRING else datatype_of(spec.dtype)


def misfits(specs: Sequence[TensorSpec], inputs: Mapping[str, Tensor]) -> list[Problem]:
    """Return what keeps tensors from being the inputs of a graph."""
    known = {spec.name: spec for spec in specs}
    names = ", ".join(known)
    problems = [
        Problem(name, f"is not an input of this model; its inputs are: {names}")
        for name in inputs
        if name not in known
    ]
    for name, spec in known.items():
        if name in inputs:
            problems += misfit(spec, inputs[name])
        else:
            shape = "any shape" if spec.shape is None else f"shape {shape_of(spec)}"
            problems.append(Problem(name, f"is missing; give {named(spec)} of {shape}"))
    return problems


def misfit(spec: TensorSpec, tensor: Tensor) -> list[Problem]:
    """Return what keeps a tensor from being one input of a graph."""
    shape, wanted = tensor.array.shape, described(spec)
    if tensor.datatype != wanted["datatype"]:
        return [Problem(spec.name, f"is {tensor.datatype}; give {wanted['datatype']}")]
    if tensor.missing is not None:
        return [Problem(spec.name, "holds null, and this model knows no missing values")]
    if not fits(shape, spec):
        most = f"at most {MOST_RANK} dimensions" if spec.shape is None else wanted["shape"]
        return [Problem(spec.name, f"has the shape {list(shape)}; give {most}")]
    return []


def fits(shape: Sequence[int], spec: TensorSpec) -> bool:
    """Tell whether a shape is one that an input may have."""
    if spec.shape is None:
        return len(shape) <= MOST_RANK
    sizes = zip(shape, spec.shape, strict=False)
    return len(shape) == len(spec.shape) and all(want in (None, size) for size, want in sizes)
