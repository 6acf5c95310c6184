"""`dvc` and `warm-python`, for tests that start them often: forks of one that has imported much.

A command of DVC or of this project takes longer to import libraries than to do its work. So each
process of tests starts a server once, which imports libraries and nothing of this project, and a
folder of two programs. Who calls them gets a fork that runs the same command, with its arguments,
environment, folder and streams: a signal is passed on, and a fork whose caller is gone is killed.
The stages of such a run of DVC are forks as well (`treeline.stages.forking`). Without the server,
and for what is neither a module nor code, the programs are the real ones.

A test of how a command starts, or of what a signal to a group of processes does, starts the real
programs itself.
"""

import atexit
import gc
import importlib
import importlib.util
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

STAGES = Path(__file__).resolve().parents[1] / "src/treeline/stages"
POSSIBLE = sys.platform == "linux" and hasattr(os, "pidfd_open")
DVC, PYTHON, STAGE = "dvc", "warm-python", "stage"  # what a fork runs
Run = Callable[[], object]
Socket = socket.socket
COVERED = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")

# What DVC and the commands import besides the libraries of stages, and start no thread with.
LIBRARIES = (
    "PIL.BmpImagePlugin",
    "PIL.GifImagePlugin",
    "PIL.JpegImagePlugin",
    "PIL.PpmImagePlugin",
    "aiohttp",
    "aiohttp_retry",
    "click",
    "click.shell_completion",
    "configobj",
    "coverage",
    "dulwich.filters",
    "dulwich.line_ending",
    "dulwich.porcelain",
    "dulwich.repo",
    "dulwich.worktree",
    "dvc._debug",
    "dvc.api",
    "dvc.cachemgr",
    "dvc.cli",
    "dvc.cli.parser",
    "dvc.commands.repro",
    "dvc.data_cloud",
    "dvc.dependency",
    "dvc.dirs",
    "dvc.dvcfile",
    "dvc.fs.dvc",
    "dvc.output",
    "dvc.parsing.context",
    "dvc.repo",
    "dvc.repo.artifacts",
    "dvc.repo.brancher",
    "dvc.repo.commit",
    "dvc.repo.data",
    "dvc.repo.datasets",
    "dvc.repo.get",
    "dvc.repo.graph",
    "dvc.repo.index",
    "dvc.repo.open_repo",
    "dvc.repo.plots",
    "dvc.repo.reproduce",
    "dvc.repo.stage",
    "dvc.repo.status",
    "dvc.repo.trie",
    "dvc.repo.worktree",
    "dvc.schema",
    "dvc.stage.cache",
    "dvc.stage.loader",
    "dvc.utils.strictyaml",
    "dvc_data.fs",
    "dvc_data.hashfile.build",
    "dvc_data.hashfile.db.index",
    "dvc_data.hashfile.db.local",
    "dvc_data.hashfile.status",
    "dvc_data.index.checkout",
    "dvc_data.index.collect",
    "dvc_data.index.fetch",
    "dvc_data.index.push",
    "dvc_objects.fs.local",
    "dvc_render",
    "flatten_dict",
    "fsspec.implementations.http",
    "fsspec.implementations.memory",
    "matplotlib.style",
    "networkx",
    "onnxmltools.convert.xgboost",
    "pandas.io.formats.csvs",
    "pandera.backends.pandas.register",
    "psutil",
    "pydantic",
    "pydantic.dataclasses",
    "pydantic.type_adapter",
    "pygit2",
    "rich._emoji_codes",
    "rich.json",
    "ruamel.yaml",
    "ruamel.yaml.mergevalue",
    "scmrepo.fs",
    "scmrepo.git.backend.pygit2.filter",
    "scmrepo.git.lfs",
    "skl2onnx.algebra.onnx_operator_mixin",
    "sklearn.datasets.data",
    "sklearn.datasets.descr",
    "sqlalchemy",
    "statistics",
)

CLIENT = """\
#!{python} -IS
import json, os, signal, socket, sys

connection = socket.socket(socket.AF_UNIX)
try:
    connection.connect("\\0" + {address!r})
    socket.send_fds(connection, [b"\\n"], [0, 1, 2])
    request = {{
        "program": {name!r}, "arguments": sys.argv[1:], "environment": dict(os.environ),
        "folder": os.getcwd(),
    }}
    connection.sendall(json.dumps(request).encode() + b"\\n")
    answers = connection.makefile("r")
    begun = answers.readline()
except OSError:
    begun = ""
if not begun:
    os.execv({real!r}, [{real!r}, *sys.argv[1:]])
process = int(begun.split()[1])
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: os.kill(process, number))
code = int(answers.readline() or 1)
if code < 0:
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


@cache
def programs() -> Path:
    """Return the folder of the programs of this process of tests, which are there until it ends."""
    stack = ExitStack()
    atexit.register(stack.close)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    return stack.enter_context(warm_programs(folder))


@contextmanager
def warm_programs(folder: Path) -> Iterator[Path]:
    """Start the server, and return `folder` with the programs `dvc` and `warm-python` in it.

    Elsewhere than on Linux the programs are the real ones.
    """
    real = {DVC: Path(sys.executable).with_name("dvc"), PYTHON: Path(sys.executable)}
    if not POSSIBLE:
        for name, program in real.items():
            (folder / name).symlink_to(program)
        yield folder
        return
    address = f"treeline-tests-{os.getuid()}-{os.getpid()}-{folder.name}"
    for name, program in real.items():
        text = CLIENT.format(python=sys.executable, real=str(program), address=address, name=name)
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)
    # The server measures nothing: each fork begins to, where its caller's environment asks for it.
    unasked = {"PYTHONPATH", *COVERED}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{address}")
        listener.listen(128)
        number = listener.fileno()
        server = subprocess.Popen(
            [sys.executable, "-P", __file__, str(number), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            pass_fds=[number],
            env={name: each for name, each in os.environ.items() if name not in unasked},
        )
    try:
        yield folder
    finally:
        server.kill()
        server.wait()


@dataclass
class Caller:
    """Who waits for a fork: its socket, the fork, and where the stages of a fork of DVC call."""

    socket: Socket
    fork: int
    ended: int  # a pidfd of the fork
    program: str
    stages: Socket | None = None


@dataclass
class Server:
    """Forks a process for each request, until the process of tests ends."""

    listener: socket.socket
    tests: int  # a pidfd
    callers: list[Caller] = field(default_factory=list)

    def serve(self) -> Run | None:
        """Return what is to be run in each fork, and None at the end."""
        while True:
            waiting: dict[Any, Callable[[], Run | None]] = {
                self.listener: partial(self._accept, self.listener)
            }
            for caller in self.callers:
                waiting[caller.ended] = partial(self._end, caller)
                if caller.program != STAGE:
                    waiting[caller.socket] = partial(self._kill, caller)
                if caller.stages is not None:
                    waiting[caller.stages] = partial(self._accept, caller.stages)
            ready = select.select([self.tests, *waiting], [], [])[0]
            if self.tests in ready:
                return None
            if (run := waiting[ready[0]]()) is not None:  # what else is ready has its turn next
                return run

    def _accept(self, listener: socket.socket) -> Run | None:
        """Fork for a request; return what is to be run in the fork."""
        caller = listener.accept()[0]
        with suppress(OSError, ValueError):
            process, user = _process_at(caller)
            if user == os.getuid():
                streams = socket.recv_fds(caller, 1, 3)[1]
                with caller.makefile("r", encoding="utf-8") as lines:
                    request: dict[str, Any] = json.loads(lines.readline())
                request = {"program": STAGE, **request, "streams": streams}
                return self._fork(caller, request, group=os.getpgid(process))
        caller.close()
        return None

    def _fork(self, caller: socket.socket, request: dict[str, Any], *, group: int) -> Run | None:
        known, begin = os.pipe()  # a fork waits until it can be called by its stages
        process = os.fork()
        if process == 0:
            for each in self.callers:
                os.close(each.ended)
                each.socket.close()
                if each.stages is not None:
                    each.stages.close()
            for descriptor in (caller, self.listener):
                descriptor.close()
            os.close(self.tests)
            os.close(begin)
            os.read(known, 1)
            os.close(known)
            with suppress(OSError):  # a group of another session can be joined by nobody
                os.setpgid(0, group)
            return partial(_run, request)
        os.close(known)
        for stream in request["streams"]:
            os.close(stream)
        stages = None
        if request["program"] == DVC:
            stages = socket.socket(socket.AF_UNIX)
            stages.bind(f"\0treeline-{os.getuid()}-{process}")  # as forking.py names it
            stages.listen()
        ended = os.pidfd_open(process)
        self.callers.append(Caller(caller, process, ended, request["program"], stages))
        with suppress(OSError):
            caller.sendall(f"{_forking().BEGUN} {process}\n".encode())
        os.close(begin)
        return None

    def _end(self, caller: Caller) -> None:
        """Tell a caller how its fork has ended."""
        code = os.waitstatus_to_exitcode(os.waitpid(caller.fork, 0)[1])
        if caller.program == STAGE and code < 0:
            code = 128 - code
        self.callers.remove(caller)
        os.close(caller.ended)
        if caller.stages is not None:
            caller.stages.close()
        with caller.socket, suppress(OSError):
            caller.socket.sendall(f"{code}\n".encode())

    def _kill(self, caller: Caller) -> None:
        """Kill the fork of a caller that is gone: it says nothing while it waits."""
        os.kill(caller.fork, signal.SIGKILL)
        caller.program = STAGE  # its socket is looked at no more


def _process_at(connection: socket.socket) -> tuple[int, int]:
    """Return the process at the other end, and its user."""
    held = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _forking().CREDENTIALS.size)
    process, user, _ = _forking().CREDENTIALS.unpack(held)
    return process, user


@cache
def _forking() -> ModuleType:
    """Return what forks the stages; only the server needs it, which a wheel has no file for."""
    return _loaded("forking")


def _loaded(name: str) -> ModuleType:
    """Return a module of the stages by its file, so that nothing of the package is imported."""
    spec = importlib.util.spec_from_file_location(f"warm_{name}", STAGES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _run(request: dict[str, Any]) -> object:
    """Become what a caller asks for: raises SystemExit with its exit code, or returns."""
    environment: dict[str, str] = request["environment"]
    if request["program"] != DVC and any(environment.get(name) for name in COVERED):
        os.environ.update(environment)
        importlib.import_module("coverage").process_startup()
    named = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:0] = [os.path.join(request["folder"], each) for each in named]
    sys.dont_write_bytecode = bool(environment.get("PYTHONDONTWRITEBYTECODE"))
    if request["program"] == STAGE:
        return _forking().run_request(request)
    for number, stream in enumerate(request["streams"]):
        os.dup2(stream, number)
        os.close(stream)
    # Opened anew, for a stream looks only once whether it leads to a terminal.
    sys.stdin = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115 - open to the end
    sys.stdout = open(1, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
    sys.stderr = open(  # noqa: SIM115
        2, "w", buffering=1, closefd=False, encoding="utf-8", errors="backslashreplace"
    )
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(request["folder"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    importlib.invalidate_caches()
    arguments: list[str] = request["arguments"]
    if request["program"] == DVC:
        sys.argv = [str(Path(sys.executable).with_name("dvc")), *arguments]
        sys.exit(importlib.import_module("dvc.cli").main())
    return _run_python(arguments)


def _run_python(arguments: list[str]) -> object:
    """Run a module or code, as Python does it; anything else by Python itself."""
    path = [] if os.environ.get("PYTHONSAFEPATH") else [os.getcwd()]
    if arguments[:1] == ["-P"]:
        path, arguments = [], arguments[1:]
    sys.path[:0] = path
    if arguments[:1] == ["-m"]:
        sys.argv = arguments[1:]
        return runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    if arguments[:1] == ["-c"]:
        sys.argv = ["-c", *arguments[2:]]
        module = sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(arguments[1], "<string>", "exec"), module.__dict__)
        return None
    return os.execv(sys.executable, [sys.executable, *arguments])


def _interruptible(run: Run) -> None:
    """Run, and end by SIGINT where that is what ended it, as Python does."""
    try:
        run()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)


def main(number: int, tests: int) -> None:
    """Serve on the listening socket `number` until the process `tests` ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    before = dict(os.environ)
    _loaded("arithmetic").settle()
    for name in (*_forking().LIBRARIES, *LIBRARIES):
        with suppress(ImportError):
            importlib.import_module(name)
    os.environ.clear()
    os.environ.update(before)
    gc.collect()
    gc.freeze()  # what is imported is not looked at again, and its memory stays shared
    run = Server(socket.socket(fileno=number), os.pidfd_open(tests)).serve()
    if run is not None:
        _forking().end_after(partial(_interruptible, run))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
