"""Work within a time limit: in a process of its own, which ends with the limit."""

from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any


def within(seconds: float | None, work: Callable[..., Any], *arguments: Any) -> Any:
    """Return what `work` returns, whatever it raises raised; no limit is work done right here.

    The clock starts when the process has imported what the arguments need. Raises TimeoutError
    after so many seconds, and EOFError when the process dies (of memory, say).
    """
    if seconds is None:
        return work(*arguments)
    context = get_context("spawn")  # a fork of a process with threads may wait for ever
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, work, arguments))
    process.start()
    theirs.close()
    try:
        ours.recv()
        if not ours.poll(seconds):
            raise TimeoutError(f"it took longer than {seconds:g} seconds")
        outcome = ours.recv()
    finally:
        process.kill()
        process.join()
        ours.close()
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _work(theirs: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    theirs.send("ready")
    try:
        theirs.send(work(*arguments))
    except Exception as error:  # told to whoever waits
        theirs.send(error)
