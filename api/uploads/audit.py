"""The bytes of an uploaded model → every reason to refuse it, before anything opens it.

Only operators that every onnxruntime has are admitted, and only what is in the file itself: a
graph can name other files, and would have them read with the rights of the service.
"""

from collections.abc import Iterator
from typing import Any

from api.uploads.limits import OLDEST_IR, OLDEST_OPSETS, Limits
from api.uploads.protocol import EXTERNAL, DecodeError
from treeline.errors import Problem

MODEL = "model"
MOST_PROBLEMS = 50
WHOLE = "send the bytes of one whole ONNX file"
# What else people have at hand: where its mark stands, the mark, and what it is.
OTHER_FORMATS = (
    (0, b"\x80\x02", "a pickle"),
    (0, b"\x80\x03", "a pickle"),
    (0, b"\x80\x04", "a pickle"),
    (0, b"\x80\x05", "a pickle"),
    (0, b"PK\x03\x04", "a zip archive, such as PyTorch and Keras write"),
    (0, b"\x89HDF", "an HDF5 file, such as Keras writes"),
    (0, b"\x1f\x8b", "compressed by gzip"),
    (4, b"ORTM", "a model in the format of onnxruntime itself"),
    (4, b"TFL3", "a TensorFlow Lite model"),
)


def audit(payload: bytes, model_class: Any, limits: Limits) -> list[Problem]:
    """Return every reason to refuse a model; none means that it may be opened."""
    if not payload:
        return [Problem(MODEL, f"is empty; {WHOLE}")]
    for start, mark, name in OTHER_FORMATS:
        if payload[start : start + len(mark)] == mark:
            return [Problem(MODEL, f"is {name}, not ONNX; convert it, and {WHOLE}")]
    try:
        model = model_class.FromString(payload)
    except DecodeError as error:
        return [Problem(MODEL, f"cannot be read as ONNX ({error}); {WHOLE}")]
    if not model.ir_version or not model.HasField("graph") or not model.graph.node:
        return [Problem(MODEL, f"is no ONNX model: it has no graph; {WHOLE}")]
    checks = (versions(model, limits), operators(model), tensors(model), inputs(model))
    found = {(each.place, each.message): each for check in checks for each in check}
    problems = list(found.values())
    if (more := len(problems) - MOST_PROBLEMS) > 0:
        problems = [*problems[:MOST_PROBLEMS], Problem(MODEL, f"and {more} more problems")]
    return problems


def versions(model: Any, limits: Limits) -> Iterator[Problem]:
    """Compare the format and the operator sets with what this onnxruntime has."""
    if not OLDEST_IR <= model.ir_version <= limits.ir_version:
        yield Problem(
            "ir_version",
            f"is {model.ir_version}, and this service opens {OLDEST_IR} to {limits.ir_version}; "
            "export the model for one of them",
            model.ir_version,
        )
    own = {function.domain for function in model.functions}
    if not any(standard(each.domain) == "ai.onnx" for each in model.opset_import):
        yield Problem("opset_import", "names no version of ai.onnx; export the model again")
    for each in opset_imports(model):
        domain = standard(each.domain)
        if domain not in OLDEST_OPSETS and domain not in own:
            text = f"{domain!r} is no standard set of operators; {advice()}"
            yield Problem("opset_import", text, domain)
        elif domain in OLDEST_OPSETS:
            oldest, latest = OLDEST_OPSETS[domain], limits.opsets[domain]
            if not oldest <= each.version <= latest:
                yield Problem(
                    "opset_import",
                    f"version {each.version} of {domain} is none that this service has; export "
                    f"the model for one from {oldest} to {latest}",
                    each.version,
                )


def operators(model: Any) -> Iterator[Problem]:
    """Look for operators that are neither standard nor defined as functions in the model."""
    own = {(function.domain, function.name) for function in model.functions}
    for node in nodes(model):
        domain = standard(node.domain)
        if domain not in OLDEST_OPSETS and (domain, node.op_type) not in own:
            name = f"{domain}.{node.op_type}"
            yield Problem(
                f"node {node.name or node.op_type}", f"{name} is custom; {advice()}", name
            )


def tensors(model: Any) -> Iterator[Problem]:
    """Look for tensors whose values lie in another file."""
    for tensor in stored(model):
        if tensor.data_location == EXTERNAL or len(tensor.external_data):
            where = {each.key: each.value for each in tensor.external_data}.get("location")
            text = f"lies in another file, {where!r}; save the model with all its data inside"
            yield Problem(f"tensor {tensor.name}".rstrip(), text, where)


def inputs(model: Any) -> Iterator[Problem]:
    """Look for inputs that are no tensors, but sequences, maps or optional."""
    constants = {tensor.name for tensor in model.graph.initializer}
    given = [each for each in model.graph.input if each.name not in constants]
    if not given:
        yield Problem("inputs", "there are none: it would answer everyone the same")
    for each in given:
        if not each.type.HasField("tensor_type"):
            yield Problem(f"input {each.name}", "is no tensor; export the model with tensors only")


def opset_imports(model: Any) -> Iterator[Any]:
    """Return all sets of operators that the model and its functions use."""
    yield from model.opset_import
    for function in model.functions:
        yield from function.opset_import


def graphs(model: Any) -> Iterator[Any]:
    """Return all graphs and functions, those inside of nodes too."""
    waiting = [model.graph, *model.functions]
    for info in model.training_info:
        waiting += [info.initialization, info.algorithm]
    while waiting:
        graph = waiting.pop()
        yield graph
        for attribute in attributes(graph):
            waiting += attribute.graphs
            if attribute.HasField("g"):
                waiting.append(attribute.g)


def nodes(model: Any) -> Iterator[Any]:
    """Return the nodes of all graphs."""
    for graph in graphs(model):
        yield from graph.node


def attributes(graph: Any) -> Iterator[Any]:
    """Return the attributes of all nodes of one graph, and the defaults of a function."""
    for node in graph.node:
        yield from node.attribute
    yield from getattr(graph, "attribute_proto", ())


def stored(model: Any) -> Iterator[Any]:
    """Return all tensors whose values come with the model."""
    for graph in graphs(model):
        yield from getattr(graph, "initializer", ())
        sparse = list(getattr(graph, "sparse_initializer", ()))
        for attribute in attributes(graph):
            yield from (attribute.t, *attribute.tensors)
            sparse += [attribute.sparse_tensor, *attribute.sparse_tensors]
        for each in sparse:
            yield from (each.values, each.indices)


def standard(domain: str) -> str:
    """Return the name of a domain; the standard one may be left out."""
    return domain or "ai.onnx"


def advice() -> str:
    """Say what is admitted."""
    return f"use only {' and '.join(OLDEST_OPSETS)}"
