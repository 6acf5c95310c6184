"""A run of DVC → one process with the libraries imported, from which its stages are forked.

DVC starts each stage as a process of its own, and importing scikit-learn takes longer than most
stages do. So the first stage that needs it starts a server, which imports libraries and nothing of
this package. It ends with the process of DVC. The process that DVC started hands its arguments,
environment and streams to the server, and ends with the exit code of the fork.

Where that is not possible, a stage runs in its own process: it takes longer and does the same.
"""

import atexit
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

SWITCH = "TREELINE_FORK"  # `no`: each stage imports for itself
BY_DVC = "DVC_STAGE"  # DVC sets it for the commands that it runs
FORKED = ("collect", "prepare", "train", "evaluate", "gate", "export")  # all that run per model
LIBRARIES = (  # none that starts a thread of its own, which a fork would lack: onnxruntime does
    "pandas",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "pandera.pandas",
    "pandera.backends.pandas.container",
    "pydantic",
    "ruamel.yaml",
    "scipy.stats",
    "sklearn.experimental.enable_halving_search_cv",
    "sklearn.compose",
    "sklearn.datasets",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "sklearn.pipeline",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "onnx",
    "onnxmltools",
    "skl2onnx",
    "tqdm",
    "xgboost",
)
CREDENTIALS = struct.Struct("3i")  # process, user and group of who is at the other end
BEGUN = "begun"
INTERRUPTED = 130  # the exit code of a shell's command that Ctrl-C ended
FLUSH_FAILED = 120  # that of Python whose last words found no room


def run_forked(arguments: list[str]) -> int | None:
    """Run a stage in a fork of this run's server, and return its exit code.

    Returns None where there is no server and none can be started: nothing has run then.
    """
    if not _is_possible(arguments):
        return None
    try:
        connection = _connected()
    except OSError:
        return None
    if connection is None:
        return None
    with connection:
        return _result_of(connection, arguments)


def _is_possible(arguments: list[str]) -> bool:
    return (
        sys.platform == "linux"
        and hasattr(os, "pidfd_open")
        and bool(os.environ.get(BY_DVC))
        and os.environ.get(SWITCH) != "no"
        and bool(arguments)
        and arguments[0] in FORKED
    )


def _connected() -> socket.socket | None:
    """Connect to the server of the process that started this one, and start it if there is none.

    Returns None where another user has taken its address.
    """
    dvc = _process_of_dvc()
    address = f"\0treeline-{os.getuid()}-{dvc}"  # of Linux: it leaves no file behind
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(address)
    except ConnectionRefusedError:
        _start(address, dvc)
        connection.connect(address)
    if _user_of(connection) != os.getuid():
        connection.close()
        return None
    return connection


def _process_of_dvc() -> int:
    """Return the process that all stages of this run have above them.

    Between DVC and a stage may stand a shell that ends with the stage: dash, which DVC takes where
    the environment names no SHELL. It carries the name of the stage, and DVC does not.
    """
    mark = f"{BY_DVC}={os.environ[BY_DVC]}".encode()
    process = os.getppid()
    with suppress(OSError):  # a process of another user does not say what it carries
        while mark in Path(f"/proc/{process}/environ").read_bytes().split(b"\0"):
            status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
            above = int(status.rpartition(")")[2].split()[1])
            if above <= 1:  # an orphan: nobody above it is of this run
                break
            process = above
    return process


def _start(address: str, dvc: int) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        number = listener.fileno()
        subprocess.Popen(
            [sys.executable, "-m", "treeline.stages.forking", str(number), str(dvc)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[number],
        )


def _user_of(connection: socket.socket) -> int:
    held = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    return int(CREDENTIALS.unpack(held)[1])


def _result_of(connection: socket.socket, arguments: list[str]) -> int | None:
    """Send a stage to the server and wait for its end; None where the server ended before."""
    request = {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}
    begun = ""
    with suppress(OSError), connection.makefile("r", encoding="utf-8") as answers:
        socket.send_fds(connection, [b"\n"], [0, 1, 2])
        connection.sendall(json.dumps(request).encode() + b"\n")
        begun, _, process = answers.readline().strip().partition(" ")
        if begun == BEGUN:
            # Ctrl-C reaches the fork by itself, which is in the same group.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, lambda *_: os.kill(int(process), signal.SIGTERM))
            if code := answers.readline().strip():
                return int(code)
    if begun == BEGUN:
        print(f"{' '.join(arguments)}: the process that ran it was killed", file=sys.stderr)
        return 1
    return None


def serve(listener: socket.socket, dvc: int) -> dict[str, Any] | None:
    """Fork a process for each request until the process `dvc` ends.

    Returns the request in each fork, and None at the end.
    """
    for name in LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # what is imported is not looked at again, and its memory stays shared
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ended = os.pidfd_open(dvc)
    sources: list[socket.socket | int] = [listener, ended]
    while ended not in select.select(sources, [], [])[0]:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            if _user_of(connection) != os.getuid():
                continue
            streams = socket.recv_fds(connection, 1, 3)[1]
            with connection.makefile("r", encoding="utf-8") as lines:
                request: dict[str, Any] = json.loads(lines.readline())
            process = os.fork()
            if process == 0:
                listener.close()
                return request | {"streams": streams}
            for stream in streams:
                os.close(stream)
            _report(connection, process)
    return None


def _report(connection: socket.socket, process: int) -> None:
    """Tell the other end that a fork has begun and, when it has ended, its exit code."""
    with suppress(OSError):  # the other end may be gone
        connection.sendall(f"{BEGUN} {process}\n".encode())
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    connection.sendall(f"{code if code >= 0 else 128 - code}\n".encode())


def run_request(request: dict[str, Any]) -> None:
    """Run a stage with the streams, the environment and the folder of who asked for it."""
    for number, stream in enumerate(request["streams"]):
        os.dup2(stream, number)
        os.close(stream)
    # Opened anew, for a stream looks only once whether it leads to a terminal.
    sys.stdin = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115 - open to the end
    sys.stdout = open(1, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False, encoding="utf-8")  # noqa: SIM115
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    importlib.invalidate_caches()
    importlib.import_module("treeline.stages.running").run(request["arguments"])


def end_after(work: Callable[[], object]) -> NoReturn:
    """Do the work of a fork, and end with its exit code as Python does.

    But for taking apart what is imported: that writes to every page which the fork shares with the
    server, and copying them costs a third of a second of processor.
    """
    code: object = 0
    try:
        work()
    except SystemExit as ended:
        code = ended.code or 0
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BaseException:
        traceback.print_exc()
        code = 1
    if not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined] # waits for threads, as Python does first
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except (OSError, ValueError):  # a full disk, a reader that is gone
        code = code or FLUSH_FAILED
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(code & 0xFF)


def main(arguments: list[str]) -> None:
    """Serve the forks of a run of DVC: the number of the listening socket, the process of DVC."""
    number, dvc = map(int, arguments)
    request = serve(socket.socket(fileno=number), dvc)
    if request is not None:
        end_after(partial(run_request, request))


if __name__ == "__main__":
    from treeline.stages.arithmetic import settle

    settle()
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
