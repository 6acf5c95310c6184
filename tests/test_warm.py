"""A fork of the warm process is, for who calls it, the program itself."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests.waiting import wait_until
from tests.warm import DVC, PYTHON, programs


def called(folder: Path, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(programs() / PYTHON), *words]
    return subprocess.run(
        command, cwd=folder, input=given, capture_output=True, text=True, check=False
    )


def test_it_has_arguments_folder_and_streams(tmp_path: Path) -> None:
    code = "import os, sys; print(sys.argv, os.getcwd(), sys.stdin.read()); sys.exit('gone')"
    done = called(tmp_path, "-c", code, "one", "two", given="three")
    assert done.stdout == f"['-c', 'one', 'two'] {tmp_path} three\n"
    assert (done.returncode, done.stderr) == (1, "gone\n")


@pytest.mark.parametrize(
    ("code", "ended"),
    [
        ("pass", 0),
        ("raise SystemExit(7)", 7),
        ("import atexit; atexit.register(print, 'bye'); 1 / 0", 1),
        ("import os; os.kill(os.getpid(), 9)", -9),
        ("import os; os.kill(os.getpid(), 15)", -15),
        ("raise KeyboardInterrupt", -2),
    ],
)
def test_it_ends_as_python_would(tmp_path: Path, code: str, ended: int) -> None:
    done = called(tmp_path, "-c", code)
    assert done.returncode == ended
    assert ("ZeroDivisionError" in done.stderr, done.stdout) == (
        (True, "bye\n") if ended == 1 else (False, "")
    )


def test_what_is_neither_module_nor_code_runs_in_python_itself(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("print(__file__)")
    assert called(tmp_path, "script.py").stdout == f"{tmp_path / 'script.py'}\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_who_called_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    caller = subprocess.Popen(
        [programs() / PYTHON, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    with caller:
        assert caller.stdout is not None
        process = int(caller.stdout.readline())
        caller.send_signal(number)
        assert caller.wait() == -number
    gone = Path(f"/proc/{process}")
    wait_until(lambda: not gone.exists(), seconds=60, what="the fork has ended")


def test_dvc_tells_its_version_and_what_it_cannot_do(tmp_path: Path) -> None:
    dvc = str(programs() / DVC)
    done = subprocess.run([dvc, "--version"], capture_output=True, text=True, check=True)
    real = subprocess.run(["dvc", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == real.stdout
    outside = subprocess.run([dvc, "status"], cwd=tmp_path, stderr=subprocess.PIPE, check=False)
    assert outside.returncode == 253 and b"not inside of a DVC repository" in outside.stderr
