"""The bytes of an infer request → its tensors; the tensors of an answer → its bytes.

A message is one JSON document and, behind it, the raw elements of those tensors that say so; the
header `Inference-Header-Content-Length` tells where the document ends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError
from pydantic_core import to_json

from api.contract.faults import explain, plain_problem
from api.errors import MalformedBodyError
from api.formats.tensors import Tensor, from_bytes, from_json, refused, to_bytes, to_json_lists
from treeline.contract.problems import listed

HEADER_LENGTH = "Inference-Header-Content-Length"
JSON, BINARY = "application/json", "application/octet-stream"
MAX_PROBLEMS = 100
MAX_TENSORS = 2_000  # of which two arrays each go through a pipe between processes
MOST_NAME = 200  # characters of a name, and of an id, which are repeated in the answer

Datatype = Literal[
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BYTES",
]
Size = Annotated[int, Field(ge=0, lt=1 << 63)]
Name = Annotated[str, Field(min_length=1, max_length=MOST_NAME)]


class Message(BaseModel):
    """A part of a message: a key that we do not know is somebody's extension, and left alone."""

    model_config = ConfigDict(frozen=True, strict=True)


class InputParameters(Message):
    """How the elements of an input are sent."""

    binary_data_size: Size | None = Field(
        default=None, description="Bytes of it behind the document, instead of `data`"
    )


class InputTensor(Message):
    """One tensor that is sent."""

    name: Name
    shape: Annotated[list[Size], FailFast()]
    datatype: Datatype
    parameters: InputParameters = InputParameters()
    data: list[Any] | None = Field(default=None, description="Elements, flat or nested")


class OutputParameters(Message):
    """How the elements of an output are to be answered."""

    binary_data: bool | None = None
    classification: int = Field(default=0, le=0, description="Is not offered: ask for the outputs")


class RequestedOutput(Message):
    """One tensor that is asked for."""

    name: Name
    parameters: OutputParameters = OutputParameters()


class RequestParameters(Message):
    """How all outputs are to be answered that do not say it themselves."""

    binary_data_output: bool = False


class InferenceRequest(Message):
    """The document of an infer request."""

    id: Annotated[str, Field(max_length=MOST_NAME)] | None = None
    parameters: RequestParameters = RequestParameters()
    inputs: Annotated[list[InputTensor], FailFast(), Field(min_length=1, max_length=MAX_TENSORS)]
    outputs: Annotated[list[RequestedOutput], FailFast(), Field(max_length=MAX_TENSORS)] = []


@dataclass(frozen=True)
class Question:
    """What is asked: the tensors sent, by name, and which outputs, each in binary or not."""

    id: str | None
    inputs: dict[str, Tensor]
    outputs: dict[str, bool]
    binary: bool

    def chosen(self, offered: Sequence[str]) -> dict[str, bool]:
        """Return the outputs to answer with, and for each whether in binary; all if none is named.

        Raises InvalidInputError for one that is not offered.
        """
        for name in self.outputs:
            if name not in offered:
                raise refused(name, f"is not an output of this model: {listed(offered)}")
        return self.outputs or dict.fromkeys(offered, self.binary)


def read(body: bytes, header_length: str | None) -> Question:
    """Read an infer request; raises MalformedBodyError and InvalidInputError."""
    end = document_bytes(body, header_length)
    try:
        request = InferenceRequest.model_validate_json(body[:end] if end < len(body) else body)
    except ValidationError as error:
        raise explain(error, plain_problem, what="document") from error
    inputs: dict[str, Tensor] = {}
    for given in request.inputs:
        if given.name in inputs:
            raise refused(given.name, "is sent twice")
        raw = memoryview(body)[end : end + (given.parameters.binary_data_size or 0)]
        inputs[given.name] = _tensor(given, raw)
        end += len(raw)
    if end != len(body):
        raise MalformedBodyError(
            f"The body has {len(body) - end} bytes more than its document and its inputs say."
        )
    outputs: dict[str, bool] = {}
    for wanted in request.outputs:
        if wanted.name in outputs:
            raise refused(wanted.name, "is asked for twice")
        own = wanted.parameters.binary_data
        outputs[wanted.name] = request.parameters.binary_data_output if own is None else own
    return Question(request.id, inputs, outputs, request.parameters.binary_data_output)


def write(
    document: Mapping[str, Any], answers: Sequence[tuple[Tensor, bool]]
) -> tuple[bytes, dict[str, str]]:
    """Return the body that answers with tensors, each in binary or not, and its headers.

    A number that JSON has no word for, NaN or an infinity, is null in it; binary data are exact.
    """
    outputs, raws = [], []
    for tensor, binary in answers:
        described: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.array.shape),
        }
        if binary:
            raws.append(to_bytes(tensor))
            described["parameters"] = {"binary_data_size": len(raws[-1])}
            outputs.append(to_json(described))
        else:
            outputs.append(b'%b,"data":%b}' % (to_json(described)[:-1], written(tensor)))
    begun = to_json(dict(document))[:-1]
    head = b'%b%b"outputs":[%b]}' % (begun, b"," if document else b"", b",".join(outputs))
    if not raws:
        return head, {"Content-Type": JSON}
    return b"".join([head, *raws]), {"Content-Type": BINARY, HEADER_LENGTH: str(len(head))}


def written(tensor: Tensor) -> bytes:
    """Return the JSON of the elements of a tensor, part by part: each holds the interpreter."""
    parts = (to_json(each, inf_nan_mode="null")[1:-1] for each in to_json_lists(tensor))
    return b"[%b]" % b",".join(parts)


def document_bytes(body: bytes, header_length: str | None) -> int:
    """Return the length of the document that a body begins with; raises MalformedBodyError."""
    if header_length is None:
        return len(body)
    given = header_length.strip()
    if not (given.isascii() and given.isdigit()) or len(given) > 20 or int(given) > len(body):
        raise MalformedBodyError(
            f"{HEADER_LENGTH} is {given[:40]!r}, and the body has {len(body)} bytes; give the "
            "length of its JSON document."
        )
    return int(given)


def _tensor(given: InputTensor, raw: memoryview) -> Tensor:
    size = given.parameters.binary_data_size
    if (size is None) == (given.data is None):
        raise refused(given.name, "needs either `data` or the parameter `binary_data_size`")
    if given.data is not None:
        return from_json(given.name, given.datatype, given.shape, given.data)
    if size != len(raw):
        raise refused(given.name, f"says {size} bytes of binary data, and {len(raw)} came")
    return from_bytes(given.name, given.datatype, given.shape, raw)
