"""What tests let run in a sandbox: calls that go well, and all that a stranger's graph may do."""

import os
import pickle
import resource
import signal
import socket
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from treeline.errors import ArtifactRejectedError, InvalidInputError, Problem


@dataclass(frozen=True)
class Parcel:
    """Something of a class that a pool admits."""

    label: str
    numbers: np.ndarray
    more: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Stranger:
    """Something of a class that no pool admits."""

    label: str


def echo(value: object) -> object:
    return value


def number_of_process() -> int:
    return os.getpid()


def number_of_process_after(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def environment() -> dict[str, str]:
    return dict(os.environ)


def limits() -> dict[str, int]:
    kinds = ("RLIMIT_CORE", "RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_NPROC")
    return {kind: resource.getrlimit(getattr(resource, kind))[0] for kind in kinds}


def privileges() -> dict[str, int]:
    wanted = ("CapEff", "CapPrm", "NoNewPrivs")
    lines = Path("/proc/self/status").read_text().splitlines()
    found = dict(line.split(":\t") for line in lines)
    return {name: int(found[name], 16) for name in wanted}


def niceness() -> int:
    return os.nice(0)


def environment_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/environ").read_bytes().decode()
    except OSError as error:
        return type(error).__name__


def wait(seconds: float) -> str:
    time.sleep(seconds)
    return "awake"


def loop() -> None:
    while True:
        pass


def note_and_loop(place: Path) -> None:
    """Say which process this is before it loops: as the name of a folder, as files are none."""
    (place / str(os.getpid())).mkdir()
    loop()


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave() -> None:
    sys.exit(3)


def take(length: int) -> int:
    return len(np.ones(length, dtype=np.uint8))


def write(place: Path) -> None:
    place.write_bytes(b"x" * 100)


def refuse() -> None:
    raise InvalidInputError([Problem("Soil", "is no soil", "x" * 10_000, ("clay", "sand"))])


def reject() -> None:
    raise ArtifactRejectedError("it has no signature")


def fail() -> None:
    raise KeyError("unforeseen")


def stranger() -> Stranger:
    return Stranger("boo")


def forged(parts: list[bytes], lengths: list[int] | None = None, count: int | None = None) -> None:
    """Reply in the place of the process, with whatever is given, and wait to be killed."""
    told = [len(parts) if count is None else count, *(lengths or [len(part) for part in parts])]
    link().sendall(struct.pack(f"!{len(told)}Q", *told) + b"".join(parts))
    time.sleep(60)


def forged_pickle(place: Path) -> None:
    """Reply with a pickle that makes a folder where it is read."""

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(place),)

    forged([pickle.dumps(Bomb())])


def link() -> socket.socket:
    """Return the end of the connection that this process has."""
    for number in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{number}").startswith("socket:"):
                return socket.socket(fileno=os.dup(int(number)))
        except OSError:
            continue
    raise AssertionError("no connection")


def start_more(count: int) -> int:
    """Return how many processes could be started beside this one."""
    children = []
    for _ in range(count):
        try:
            child = os.fork()
        except OSError:
            break
        if not child:
            time.sleep(60)
            os._exit(0)
        children.append(child)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return len(children)
