"""JSON documents: long ones are read in a process beside the worker, small ones are narrowed.

Reading JSON does not let go of the interpreter before its end, so a thread does not help. A
validator lists each key that it does not know and each item that it does not admit, so of a
hundred thousand unknown keys only some reach it.
"""

from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from pydantic_core import from_json, to_json

from api.sandbox.limits import Limits
from api.sandbox.process import Plan
from api.sandbox.sandbox import Sandbox
from api.settings import Settings

T = TypeVar("T")
LONG_BYTES = 64 << 10  # of JSON: at worst some milliseconds of reading
SWELLING = 24  # times the length of a body: what its lists take as objects, and the arrays of them


class DocumentReaders:
    """Reads long documents elsewhere, with limits of time and memory."""

    def __init__(self, settings: Settings, *classes: type) -> None:
        """Have a process, once there is something to read; it may answer with these dataclasses."""
        self._seconds = settings.body_seconds
        limits = Limits(
            memory_bytes=SWELLING * max(settings.max_whole_bytes, settings.max_body_bytes),
            memory_setting="API_MAX_WHOLE_BYTES",
            seconds_setting="API_BODY_SECONDS",
        )
        imports = tuple(each.__module__ for each in classes)
        self._sandbox = Sandbox("reading", Plan(limits, imports, classes))

    async def apart(self, call: Callable[..., T], *arguments: object) -> T:
        """Return what a function gives, in the process.

        Raises what it raises of TreelineError, and what a sandbox does: TooBusyError,
        RunTooLongError, RunTooLargeError, RunCrashedError.
        """
        return await self._sandbox.run(call, *arguments, deadline_seconds=self._seconds)

    def running(self) -> AbstractAsyncContextManager[None]:
        """Return what must run as long as the application does."""
        return self._sandbox.running()

    def stop(self) -> None:
        """End the process, and what it reads."""
        self._sandbox.stop()


MAX_UNKNOWN = 20
MAX_ITEMS = 20  # the longest list of a declaration has three
FEW_BYTES = 1024  # in which not many keys have room


def narrowed(value: Any, known: Collection[str]) -> Any:
    """Return an object with its known keys, and the first few of any others; so those within it.

    Lists are left as they are.
    """
    if not isinstance(value, dict):
        return value
    strangers = 0
    narrow: dict[str, Any] = {}
    for name, each in value.items():
        strangers += name not in known
        if name in known or strangers <= MAX_UNKNOWN:
            narrow[name] = narrowed(each, known) if name in known else each
    return narrow


def shortened(value: Any) -> Any:
    """Return a document with the first items of each list, where none that is right has as many."""
    if isinstance(value, dict):
        return {name: shortened(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shortened(each) for each in value[:MAX_ITEMS]]
    return value


def narrow_json(body: bytes, known: Collection[str]) -> bytes:
    """Return the JSON of a document with short lists likewise; one that is none as it is."""
    if len(body) <= FEW_BYTES:
        return body
    try:
        document = from_json(body)
    except ValueError:
        return body
    return to_json(shortened(narrowed(document, known)), inf_nan_mode="constants")
