"""The bytes of an uploaded model: every reason to refuse it, before anything opens it.

Only what is in the file itself is admitted: a graph can name other files, and would have them read
with the rights of the service. The newest formats and operator sets are those that this
onnxruntime opens, as it says itself.

Only known operators are admitted. Beside the standard ones these are onnxruntime's own: those that
its quantisation and its optimisation write, and that run on any processor. None of them reads a
file, runs a graph of its own or keeps anything from one run to the next. Each was run 1500 times
on inputs and attributes that do not fit, and an error was all that came of it. Left out are those
that ended the process: by memory that is not theirs (QLinearWhere), or for no rows at all
(QAttention); where three others did, is checked. It is still ended by a constant of the graph that
is empty (SkipLayerNormalization, MultiHeadAttention) and, as in Conv itself, by a padding below
zero (FusedConv): one reason more that a graph has a process apart.
"""

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from typing import Any

from google.protobuf.message import DecodeError

from api.inference.graph import MOST_RANK, cut
from api.inference.onnx_file import EXTERNAL, labels_of
from api.inference.sessions import open_session
from treeline.errors import ArtifactRejectedError, Problem

MICROSOFT = "com.microsoft"
OLDEST_OPSETS = {"ai.onnx": 7, "ai.onnx.ml": 1, MICROSOFT: 1}  # onnxruntime vouches for no older
FUSED = (  # written where onnxruntime saves a model that it has optimised
    *("Attention", "BiasGelu", "EmbedLayerNormalization", "FastGelu", "FusedConv", "FusedGemm"),
    *("FusedMatMul", "Gelu", "MultiHeadAttention", "NhwcMaxPool", "QuickGelu", "RotaryEmbedding"),
    *("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", "TransposeMatMul"),
)
QUANTISED = (  # written by onnxruntime.quantization, or where a model of it is optimised
    *("DequantizeLinear", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "GatherBlockQuantized"),
    *("MatMulIntegerToFloat", "MatMulNBits", "QEmbedLayerNormalization", "QGemm"),
    *("QLinearAdd", "QLinearAveragePool", "QLinearConcat", "QLinearConv"),
    *("QLinearGlobalAveragePool", "QLinearLeakyRelu", "QLinearMul", "QLinearSigmoid"),
    *("QLinearSoftmax", "QuantizeLinear"),
)
OWN = frozenset((*FUSED, *QUANTISED))
LAYOUTS = ("com.microsoft.nchwc", "com.ms.internal.nhwc")
BEFORE = "send the model as it was before onnxruntime saved it"


def standard(domain: str) -> str:
    """Return the name of a domain; the standard one may be left out."""
    return domain or "ai.onnx"


def refusal(node: Any) -> str | None:
    """Return why an operator may not be used, or None where it may.

    Whether it is a function of the model itself is not looked at.
    """
    domain = standard(node.domain)
    if domain == MICROSOFT:
        return own_refusal(node)
    if domain in OLDEST_OPSETS:
        return None
    if domain in LAYOUTS:
        return (
            "is for the layout of one kind of processor, on which onnxruntime saved the model; "
            f"save it with graph_optimization_level ORT_ENABLE_EXTENDED, or {BEFORE}"
        )
    return "is custom; use only ai.onnx, ai.onnx.ml and what onnxruntime itself writes"


def own_refusal(node: Any) -> str | None:
    """Return why an operator of onnxruntime's own may not be used, or None where it may."""
    if node.op_type not in OWN:
        return (
            "is none of onnxruntime's own operators that are admitted, which are those that its "
            f"quantisation and optimisation write; {BEFORE}, or with standard operators"
        )
    given = list(node.input)
    if node.op_type == "Attention" and not all((given + [""] * 3)[:3]):
        return f"has no bias, without which onnxruntime breaks; {BEFORE}"
    if node.op_type == "EmbedLayerNormalization" and any(given[8:]):
        return f"is given positions, at which onnxruntime breaks; {BEFORE}"
    if node.op_type == "QLinearConcat" and not all(given):
        return "leaves an input out, without which onnxruntime breaks; export the model again"
    return None


def name_of(node: Any) -> str:
    """Return the name of an operator with its domain."""
    return f"{cut(standard(node.domain))}.{cut(node.op_type)}"


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
    model: Any, pattern: str, *, ir_version: int = 8, opset: tuple[str, int] = (DEFAULT, 17)
) -> int:
    """Return the number that onnxruntime tells when it refuses a model of these versions."""
    payload = model(ir_version=ir_version)
    for domain, version in {DEFAULT: 17, **dict([opset])}.items():
        name = "" if domain == DEFAULT else domain  # by its long name, no version is compared
        payload.opset_import.add(domain=name, version=version)
    payload.graph.name = "question"
    payload.graph.node.add(op_type="Identity", input=["x"], output=["y"])
    for value in (payload.graph.input.add(name="x"), payload.graph.output.add(name="y")):
        value.type.tensor_type.elem_type = FLOAT
    try:
        open_session(payload.SerializeToString(), place="question")
    except ArtifactRejectedError as error:
        if match := re.search(pattern, str(error.__cause__)):
            return int(match[1])
    return FAR_IN_THE_FUTURE  # it refuses in other words, and will do so for the model too


# Domains that onnxruntime has, or may be built to have, operators in: where a model defines a
# function of such a name, the operator is run and not the function.
RUNTIME_DOMAINS = (
    *("ai.onnx", "com.amd", "com.intel", "com.microsoft", "com.ms", "com.nvidia"),
    *("com.qualcomm", "com.xilinx", "org.pytorch"),
)
MOST_VALUES = 1000  # inputs and outputs, each of which is repeated in contracts and documents
MOST_NAME = 200  # characters of what is repeated there
MOST_OF_A_KIND = 10_000  # faults of one kind, which are counted no further
MOST_CLASSES = 5000  # of a ZipMap, which its card repeats
MOST_CLASS_CHARACTERS = 80_000
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


@dataclass(frozen=True)
class Scope:
    """Graphs whose nodes are of the same versions of operator sets: the model, or a function."""

    imports: Sequence[Any]
    graphs: Sequence[Any]


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
    checks = (
        *(versions(model, limits), functions(model), operators(model), tensors(model)),
        *(inputs(model), names(model), classes(model)),
    )
    by_text = {
        (each.place, each.message): each
        for check in checks
        for each in islice(check, MOST_OF_A_KIND)
    }
    problems = list(by_text.values())
    if (more := len(problems) - MOST_PROBLEMS) > 0:
        problems = [*problems[:MOST_PROBLEMS], Problem(MODEL, f"and {more} more problems")]
    return problems


def versions(model: Any, limits: Limits) -> Iterator[Problem]:
    """Compare the format, and the operator sets that nodes use, with what this onnxruntime has."""
    if not OLDEST_IR <= model.ir_version <= limits.ir_version:
        yield Problem(
            "ir_version",
            f"is {model.ir_version}, and this service opens {OLDEST_IR} to {limits.ir_version}; "
            "export the model for one of them",
            model.ir_version,
        )
    own = {standard(function.domain) for function in model.functions}
    for scope in scopes(model):
        yield from sets(scope, own, limits)


def sets(scope: Scope, own: Set[str], limits: Limits) -> Iterator[Problem]:
    """Look at the operator sets that nodes of one scope use; what none uses is all the same.

    `own` are the domains of the functions of the model.
    """
    users = {standard(node.domain): node for node in reversed(list(nodes(scope.graphs)))}
    imported = {standard(each.domain) for each in scope.imports}
    for domain, node in users.items():
        if domain not in imported and (domain in OLDEST_OPSETS or domain in own):
            text = f"names no version of {cut(domain)}, which {place_of(node)} uses"
            yield Problem("opset_import", f"{text}; export the model again", cut(domain))
    for each in scope.imports:
        domain = standard(each.domain)
        if domain not in users or domain not in OLDEST_OPSETS:
            continue
        oldest, latest = OLDEST_OPSETS[domain], limits.opsets[domain]
        if not oldest <= each.version <= latest:
            yield Problem(
                "opset_import",
                f"version {each.version} of {domain} is none that this service has; export "
                f"the model for one from {oldest} to {latest}",
                each.version,
            )


def functions(model: Any) -> Iterator[Problem]:
    """Look for functions that are not what is run under their name."""
    seen = set()
    for function in model.functions:
        domain, name = standard(function.domain), function.name
        place = f"function {cut(name)}"
        if any(domain == each or domain.startswith(f"{each}.") for each in RUNTIME_DOMAINS):
            text = f"is of {cut(domain)!r}, a domain of the runtime, whose operators come first"
            yield Problem(place, f"{text}; rename the domain", cut(domain))
        if (domain, name) in seen or function.overload:
            text = "is defined more than once, or as an overload; give each function a name"
            yield Problem(place, text, cut(domain))
        seen.add((domain, name))


def operators(model: Any) -> Iterator[Problem]:
    """Look for operators that are neither admitted nor defined as functions in the model."""
    own = {(standard(function.domain), function.name) for function in model.functions}
    for node in nodes(roots(model)):
        if (standard(node.domain), node.op_type) in own:
            continue
        if (text := refusal(node)) is not None:
            name = name_of(node)
            yield Problem(place_of(node), f"{name} {text}", name)


def tensors(model: Any) -> Iterator[Problem]:
    """Look for tensors whose values lie in another file."""
    for tensor in stored(model):
        if tensor.data_location == EXTERNAL or len(tensor.external_data):
            where = {each.key: each.value for each in tensor.external_data}.get("location")
            where = None if where is None else cut(where)
            text = f"lies in another file, {where!r}; save the model with all its data inside"
            yield Problem(f"tensor {cut(tensor.name)}".rstrip(), text, where)


def inputs(model: Any) -> Iterator[Problem]:
    """Look for inputs that are no tensors, but sequences, maps or optional."""
    constants = {tensor.name for tensor in model.graph.initializer}
    given = [each for each in model.graph.input if each.name not in constants]
    if not given:
        yield Problem("inputs", "there are none: it would answer everyone the same")
    for each in given:
        if not each.type.HasField("tensor_type"):
            text = "is no tensor; export the model with tensors only"
            yield Problem(f"input {cut(each.name)}", text)


def names(model: Any) -> Iterator[Problem]:
    """Look for names and numbers of inputs and outputs that would be too long to repeat."""
    for kind, values in (("input", model.graph.input), ("output", model.graph.output)):
        if len(values) > MOST_VALUES:
            text = f"there are {len(values)}, and {MOST_VALUES} are admitted"
            yield Problem(f"{kind}s", f"{text}; join some of them", len(values))
        for each in values:
            dimensions = each.type.tensor_type.shape.dim
            longest = max([len(each.name), *(len(size.dim_param) for size in dimensions)])
            if longest > MOST_NAME:
                text = f"has a name of {longest} characters, or one of its dimensions has"
                yield Problem(f"{kind} {cut(each.name)}", f"{text}; {MOST_NAME} are admitted")
            if len(dimensions) > MOST_RANK:
                text = f"has {len(dimensions)} dimensions, and {MOST_RANK} are admitted"
                yield Problem(f"{kind} {cut(each.name)}", text)


def classes(model: Any) -> Iterator[Problem]:
    """Look for maps by more classes, or longer ones, than can be repeated."""
    for node in nodes(roots(model)):
        if node.op_type != "ZipMap":
            continue
        labels = labels_of(node)
        characters = sum(len(str(each)) for each in labels)
        if len(labels) > MOST_CLASSES or characters > MOST_CLASS_CHARACTERS:
            text = f"names {len(labels)} classes, with {characters} characters together; "
            most = f"{MOST_CLASSES} of {MOST_CLASS_CHARACTERS} together are admitted"
            yield Problem(place_of(node), f"{text}{most}: export the model without ZipMap")


def scopes(model: Any) -> Iterator[Scope]:
    """Return the model itself and each of its functions, which imports operators for itself."""
    own = [model.graph]
    for info in model.training_info:
        own += [info.initialization, info.algorithm]
    yield Scope(model.opset_import, own)
    for function in model.functions:
        yield Scope(function.opset_import, [function])


def roots(model: Any) -> list[Any]:
    """Return the graphs and functions that lie in no node."""
    return [graph for scope in scopes(model) for graph in scope.graphs]


def graphs(outer: Sequence[Any]) -> Iterator[Any]:
    """Return graphs, and all those inside of their nodes."""
    waiting = list(outer)
    while waiting:
        graph = waiting.pop()
        yield graph
        for attribute in attributes(graph):
            waiting += attribute.graphs
            if attribute.HasField("g"):
                waiting.append(attribute.g)


def nodes(outer: Sequence[Any]) -> Iterator[Any]:
    """Return the nodes of graphs, and of all those inside of them."""
    for graph in graphs(outer):
        yield from graph.node


def attributes(graph: Any) -> Iterator[Any]:
    """Return the attributes of all nodes of one graph, and the defaults of a function."""
    for node in graph.node:
        yield from node.attribute
    yield from getattr(graph, "attribute_proto", ())


def stored(model: Any) -> Iterator[Any]:
    """Return all tensors whose values come with the model."""
    for graph in graphs(roots(model)):
        yield from getattr(graph, "initializer", ())
        sparse = list(getattr(graph, "sparse_initializer", ()))
        for attribute in attributes(graph):
            yield from (attribute.t, *attribute.tensors)
            sparse += [attribute.sparse_tensor, *attribute.sparse_tensors]
        for each in sparse:
            yield from (each.values, each.indices)


def place_of(node: Any) -> str:
    """Return where a node is."""
    return f"node {cut(node.name or node.op_type)}"
