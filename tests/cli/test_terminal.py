"""How a command ends: its words, its code, and no traceback whatever ends it."""

import signal
import subprocess
import sys
import time

import pytest

from tests.checkout import Checkout
from treeline.cli.main import CLOSED, INTERRUPTED

SCRIPT = """
import signal, sys, time
from treeline.errors import SourceError
from treeline.cli.main import ends

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored

def fails():
    raise SourceError("models.iris.source: not there")

def goes_on():
    while True:
        print("more", flush=True)

def waits():
    print("waiting", flush=True)
    time.sleep(60)

ends({commands}[sys.argv[1]])
"""
SCRIPT = SCRIPT.replace(
    "{commands}",
    "dict(text=lambda: 'done\\n' * 100_000, code=lambda: 3, none=lambda: None, other=list,"
    " fails=fails, goes_on=goes_on, waits=waits)",
)


def ending(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, command],
        capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("command", "code", "said", "complained"),
    [
        ("code", 3, "", ""),
        ("none", 0, "", ""),
        ("other", 0, "", ""),
        ("fails", 1, "", "models.iris.source: not there\n"),
    ],
)
def test_a_command_ends_with_its_words_and_its_code(
    command: str, code: int, said: str, complained: str
) -> None:
    done = ending(command)
    assert (done.returncode, done.stdout, done.stderr) == (code, said, complained)


@pytest.mark.parametrize(("command", "code"), [("text", 0), ("goes_on", CLOSED)])
def test_a_reader_that_goes_is_no_traceback(command: str, code: int) -> None:
    writer = [sys.executable, "-c", SCRIPT, command]
    with subprocess.Popen(writer, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == code


def test_ctrl_c_is_no_traceback() -> None:
    writer = [sys.executable, "-c", SCRIPT, "waits"]
    with subprocess.Popen(writer, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        time.sleep(0.05)  # it is between the line and the end of a minute
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b""
    assert process.returncode == INTERRUPTED


def test_the_checks_of_a_declaration_can_be_cut_short(reproduced: Checkout) -> None:
    command = f"{sys.executable} -m treeline params --schema | head -1"
    done = reproduced.run("bash", "-o", "pipefail", "-c", command)
    assert (done.stdout, done.stderr) == ("{\n", "")
