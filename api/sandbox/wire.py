"""What goes between a worker and a process beside it: calls out, replies back.

A call is a pickle, as its reader trusts the worker. A reply is none: whoever sent it may have been
taken over by a stranger's graph. It is a JSON document of bounded length that refers to buffers,
for which memory is taken once their lengths are known to be within the limit. Nothing it names is
imported: classes come from a table that the worker has.

    frame    := count of parts, then the length of each (8 bytes, big-endian), then the parts
    reply    := a byte as soon as the call is there; then a frame of
                one part of JSON, then one part for each `bytes` and each array
"""

import json
import pickle
import re
import socket
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from api import errors as service_errors
from treeline import errors as own_errors
from treeline.errors import Problem, ProblemsError, TreelineError

BEGUN = b"!"
NUMBER = struct.Struct("!Q")
DOCUMENT_BYTES = 1 << 20  # of JSON in a reply: reading it holds the interpreter for some ms
TEXT_BYTES = 8 << 20  # of an array of texts, which is JSON too, but read in a thread
MOST_PARTS = 4096
VALUE_LENGTH = 200  # characters of a value that a problem repeats
MOST_DEPTH = 32
CALL_BYTES = 1 << 40  # of a call: what a worker sends is its own affair
DTYPES = frozenset(
    ["bool", "float16", "float32", "float64"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)
OUT_OF_MEMORY = re.compile(
    r"bad_alloc|bad allocation|Failed to allocate memory|Unable to allocate|out of memory",
    re.IGNORECASE,
)
PLAIN = (str, int, float, bool, type(None))

Call = tuple[Callable[..., Any], tuple[Any, ...]]


class Incoming(Protocol):
    """Where bytes come from."""

    def recv_into(self, view: memoryview, /) -> int:
        """Receive some bytes; 0 where the other side has ended."""


class ForgedError(Exception):
    """A reply is none that a process beside the worker sends of itself."""


class StarvedError(Exception):
    """A call needed more memory than its process may take."""


class FailedError(Exception):
    """A call ended with an error that is none of ours; its text is that of the process."""


def send(link: socket.socket, parts: Sequence[bytes | memoryview]) -> None:
    """Send one frame; raises OSError."""
    lengths = [len(part) for part in parts]
    link.sendall(b"".join(NUMBER.pack(number) for number in (len(parts), *lengths)))
    for part in parts:
        link.sendall(part)


def receive(link: Incoming, *, most_bytes: int, first_bytes: int | None = None) -> list[bytearray]:
    """Receive one frame of at most `most_bytes`; raises ForgedError, EOFError and OSError.

    `first_bytes` limits the first part further.
    """
    (count,) = NUMBER.unpack(exactly(link, NUMBER.size))
    if not 0 < count <= MOST_PARTS:
        raise ForgedError(f"{count} parts")
    lengths = struct.unpack(f"!{count}Q", exactly(link, count * NUMBER.size))
    if sum(lengths) > most_bytes:
        raise ForgedError(f"{sum(lengths)} bytes, and {most_bytes} are admitted")
    if first_bytes is not None and lengths[0] > first_bytes:
        raise ForgedError(f"a document of {lengths[0]} bytes, and {first_bytes} are admitted")
    return [exactly(link, length) for length in lengths]


def exactly(link: Incoming, length: int) -> bytearray:
    """Receive so many bytes; raises EOFError where the other side has ended."""
    payload = bytearray(length)
    view = memoryview(payload)
    while view:
        taken = link.recv_into(view)
        if not taken:
            raise EOFError
        view = view[taken:]
    return payload


def call_of(function: Callable[..., Any], arguments: Sequence[Any]) -> list[bytes | memoryview]:
    """Return the parts of a call; large arrays are not copied."""
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps((function, tuple(arguments)), protocol=5, buffer_callback=buffers.append)
    return [pickled, *(buffer.raw() for buffer in buffers)]


def called(parts: Sequence[bytearray]) -> Call:
    """Return the call of a worker: to be used on its other side only."""
    call: Call = pickle.loads(parts[0], buffers=parts[1:])
    return call


class Replies:
    """Writes and reads replies that may hold, besides plain values, instances of some dataclasses.

    A class goes by its name, so that no two of them may share one.
    """

    def __init__(self, classes: Iterable[type]) -> None:
        self._classes = {each.__name__: each for each in (*classes, Problem)}

    def written(self, value: object, *, most_bytes: int) -> list[bytes | memoryview]:
        """Return the parts of a reply; raises TypeError and ValueError for one that is none.

        Raises RunTooLargeError for one that is too long.
        """
        buffers: list[bytes | memoryview] = []
        document = json.dumps({"value": self._plain(value, buffers)}).encode()
        length = len(document) + sum(len(each) for each in buffers)
        if length > most_bytes:
            raise too_long(length, most_bytes)
        if len(document) > DOCUMENT_BYTES:
            raise too_long(len(document), DOCUMENT_BYTES, of=" beside its arrays")
        if len(buffers) >= MOST_PARTS:
            raise ValueError(f"a reply of {len(buffers)} buffers")
        return [document, *buffers]

    def failed(self, error: BaseException) -> list[bytes | memoryview]:
        """Return the parts of a reply that says why there is none."""
        if starved(error):
            said: dict[str, object] = {"starved": True}
        elif isinstance(error, ProblemsError):
            problems = [self._plain(bearable(each), []) for each in error.problems[:100]]
            said = {"error": type(error).__name__, "problems": problems}
        elif isinstance(error, TreelineError):
            said = {"error": type(error).__name__, "message": str(error)[:4000]}
        else:
            said = {"failed": f"{type(error).__name__}: {error}"[:1000]}
        document = json.dumps(said).encode()
        if len(document) > DOCUMENT_BYTES:
            return self.failed(FailedError("an error that is too long to be told"))
        return [document]

    def read(self, parts: Sequence[bytearray]) -> Any:
        """Return the value of a reply.

        Raises what the call raised, if it is of ours; StarvedError, FailedError and ForgedError.
        """
        try:
            document = json.loads(parts[0])
            if "value" in document:
                return self._value(document["value"], parts[1:], MOST_DEPTH)
            error = self._error(document)
        except Exception as fault:  # whatever a forged reply makes of us
            raise ForgedError(type(fault).__name__) from fault
        raise error

    def _plain(self, value: object, buffers: list[bytes | memoryview]) -> object:
        """Return the JSON of a value; its bytes and arrays join the buffers."""
        if isinstance(value, PLAIN):
            return value
        if isinstance(value, list | tuple):
            return {type(value).__name__: [self._plain(each, buffers) for each in value]}
        if isinstance(value, dict):
            items = value.items()
            return {"dict": [[self._plain(each, buffers) for each in item] for item in items]}
        if is_dataclass(value) and type(value).__name__ in self._classes:
            said = {
                each.name: self._plain(getattr(value, each.name), buffers) for each in fields(value)
            }
            return {"object": [type(value).__name__, said]}
        return carried(value, buffers)

    def _value(self, plain: Any, buffers: Sequence[bytearray], depth: int) -> Any:
        """Return the value of a JSON; raises anything for one that is none."""
        if isinstance(plain, PLAIN):
            return plain
        if not depth:
            raise ForgedError("nested too deeply")
        ((kind, said),) = plain.items()
        read: Mapping[str, Callable[[], Any]] = {
            "list": lambda: [self._value(each, buffers, depth - 1) for each in said],
            "tuple": lambda: tuple(self._value(each, buffers, depth - 1) for each in said),
            "dict": lambda: {
                self._value(key, buffers, depth - 1): self._value(each, buffers, depth - 1)
                for key, each in said
            },
            "path": lambda: Path(said),
            "bytes": lambda: bytes(buffers[index(said)]),
            "array": lambda: array_of(said, buffers),
            "object": lambda: self._classes[said[0]](
                **{key: self._value(each, buffers, depth - 1) for key, each in said[1].items()}
            ),
        }
        return read[kind]()

    def _error(self, document: Mapping[str, Any]) -> Exception:
        if "starved" in document:
            return StarvedError()
        if "failed" in document:
            return FailedError(str(document["failed"])[:1000])
        kind = error_class(document["error"])
        if issubclass(kind, ProblemsError):
            problems = [self._value(each, (), MOST_DEPTH) for each in document["problems"]]
            if not all(isinstance(each, Problem) and worded(each) for each in problems):
                raise ForgedError("problems that are none")
            return kind(problems)
        return kind(str(document["message"])[:4000])


def starved(error: BaseException | None) -> bool:
    """Tell whether an error, or one that it comes of, is want of memory."""
    while error is not None:
        if isinstance(error, MemoryError) or OUT_OF_MEMORY.search(str(error)):
            return True
        error = error.__cause__
    return False


def index(said: object) -> int:
    """Return the number of a buffer, from its end never."""
    if type(said) is not int or said < 0:
        raise ForgedError("no number of a buffer")
    return said


def carried(value: object, buffers: list[bytes | memoryview]) -> object:
    """Return the JSON of what holds no other values; its bytes join the buffers."""
    if isinstance(value, Path):
        return {"path": str(value)}
    if isinstance(value, bytes | bytearray | memoryview):
        buffers.append(memoryview(value).cast("B"))
        return {"bytes": len(buffers) - 1}
    if isinstance(value, np.ndarray):
        return array_plain(value, buffers)
    raise TypeError(f"a reply cannot carry {type(value).__name__}")


def array_plain(array: Any, buffers: list[bytes | memoryview]) -> object:
    """Return the JSON of an array of numbers or booleans, or of texts as objects."""
    if array.dtype == object:
        texts = json.dumps([str(each) for each in array.ravel().tolist()]).encode()
        if len(texts) > TEXT_BYTES:
            raise too_long(len(texts), TEXT_BYTES, of=" of texts")
        buffers.append(texts)
        return {"array": ["text", list(array.shape), len(buffers) - 1]}
    if array.dtype.name not in DTYPES:
        raise TypeError(f"a reply cannot carry an array of {array.dtype}")
    whole = np.ascontiguousarray(array)
    buffers.append(whole.reshape(-1).view(np.uint8).data)
    return {"array": [array.dtype.name, list(array.shape), len(buffers) - 1]}


def too_long(length: int, most: int, *, of: str = "") -> service_errors.RunTooLargeError:
    """Return the error to raise for a reply that cannot be carried."""
    return service_errors.RunTooLargeError(
        f"The answer takes {length} bytes{of}, and may take {most}; ask for less at once."
    )


def array_of(said: Any, buffers: Sequence[bytearray]) -> Any:
    """Return an array; raises ForgedError where its shape is not that of its bytes."""
    kind, shape, number = said
    shape = [index(size) for size in shape]
    payload = buffers[index(number)]
    if kind == "text":
        if len(payload) > TEXT_BYTES:
            raise ForgedError("texts that would take too long to read")
        texts = json.loads(payload)
        if not all(isinstance(each, str) for each in texts):
            raise ForgedError("texts that are none")
        array = np.empty(len(texts), dtype=object)
        array[:] = texts
        return array.reshape(shape)
    if kind not in DTYPES:
        raise ForgedError("no dtype that a reply has")
    return np.frombuffer(payload, dtype=kind).reshape(shape)


def error_class(name: str) -> type[TreelineError]:
    """Return an error of ours by its name; raises ForgedError where there is none."""
    for module in (own_errors, service_errors):
        known = vars(module).get(name)
        if isinstance(known, type) and issubclass(known, TreelineError):
            return known
    raise ForgedError("no error of ours")


def worded(problem: Problem) -> bool:
    """Tell whether a problem says in words where it is, and what."""
    return isinstance(problem.place, str) and isinstance(problem.message, str)


def bearable(problem: Problem) -> Problem:
    """Return a problem without what is too long to travel, or to be repeated."""
    value = problem.value[:VALUE_LENGTH] if isinstance(problem.value, str) else problem.value
    try:
        if len(json.dumps(value)) > 2 * VALUE_LENGTH:
            value = None
    except (TypeError, ValueError, RecursionError):
        value = None
    return Problem(problem.place[:200], problem.message[:1000], value, problem.admitted)
