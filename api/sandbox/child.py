"""`python -m api.sandbox.child`: calls of one worker, one after the other, under its limits.

It is started by `api.sandbox.process`, imports what the calls need, takes its limits upon itself,
says that it is ready, and ends with its worker.
"""

import importlib
import json
import os
import socket
import sys
from typing import Any

from api.sandbox import limits
from api.sandbox.limits import Limits
from api.sandbox.wire import BEGUN, CALL_BYTES, Replies, called, receive, send

READY = "ready"
STREAMS = (1, 2)  # standard output and error


def main(declaration: str) -> None:
    """Serve calls until the worker ends the connection."""
    declared = json.loads(declaration)
    limits.end_with(declared["parent"])
    link = socket.socket(fileno=declared["link"])
    for module in declared["imports"]:
        importlib.import_module(module)
    replies = Replies(named(each) for each in declared["classes"])
    if declared["warm"]:
        named(declared["warm"])()
    allowed = Limits(**declared["limits"])
    limits.apply(allowed)
    say_no_more()
    send(link, replies.written(READY, most_bytes=allowed.reply_bytes))
    while True:
        try:
            parts = receive(link, most_bytes=CALL_BYTES)
        except (EOFError, ConnectionError):
            return
        link.sendall(BEGUN)
        send(link, reply_to(parts, replies, allowed))


def reply_to(parts: list[bytearray], replies: Replies, allowed: Limits) -> list[bytes | memoryview]:
    """Return the reply to one call, whatever becomes of it."""
    try:
        function, arguments = called(parts)
        return replies.written(function(*arguments), most_bytes=allowed.reply_bytes)
    except BaseException as error:  # also what would end the process, for which nobody waits
        return replies.failed(error)


def say_no_more() -> None:
    """Leave standard output and error, which are the log of the worker."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for target in STREAMS:
        os.dup2(nowhere, target)
    os.close(nowhere)


def named(place: str) -> Any:
    """Return what stands at `module:name`."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


if __name__ == "__main__":
    main(sys.argv[1])
