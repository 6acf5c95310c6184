"""The command `treeline`: help that starts at once, one line for a mistake, JSON for machines."""

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.checkout import ROOT, Checkout
from treeline import __version__
from treeline.cli.main import treeline
from treeline.delivery.progress import RED

SLOW = ("dvc", "mlflow", "numpy", "pandas", "pyarrow", "pydantic", "sklearn")
HELP = f"""
import sys
from treeline.cli.main import main

main()
print([name for name in {SLOW} if name in sys.modules], file=sys.stderr)
"""
COMMANDS = treeline.commands
setting = re.compile(r"[A-Z_]+=.*")


def run(
    *arguments: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "treeline", *arguments],
        cwd=cwd, env={**os.environ, **(env or {})},
        capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip


@pytest.mark.parametrize("arguments", [["--help"], ["repro", "--help"], ["doctor", "--help"]])
def test_help_imports_nothing_that_is_slow_to_import(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELP, *arguments],
        cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=True,
    )  # fmt: skip
    assert done.stdout.startswith("Usage: treeline")
    assert done.stderr == "[]\n"


def test_the_version_is_that_of_the_package() -> None:
    assert run("--version").stdout == f"treeline, version {__version__}\n"


def test_help_lists_every_command() -> None:
    text = run("--help").stdout
    assert [name for name in COMMANDS if not re.search(rf"^  {name} +\S", text, re.MULTILINE)] == []
    assert "..." not in text.partition("Models:")[2], "a first line is too long for the list"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_in_the_help_of_a_command_can_be_parsed(name: str) -> None:
    _, _, line = (COMMANDS[name].epilog or "").partition("Example:\n")
    words = [word for word in shlex.split(line) if not setting.fullmatch(word)]
    assert words[:2] == ["treeline", name]
    COMMANDS[name].make_context(name, words[2:])


def test_every_command_that_the_makefile_calls_exists() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    called = set(re.findall(r"(?:\t@|=0; |,|\()treeline ([a-z]+)", text))
    assert {"repro", "train", "forget", "track", "doctor"} <= called
    assert called <= set(COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["scored"], "treeline: No such command 'scored'."),
        (["score", "iris"], "treeline score: Missing argument 'INPUT'. See treeline score --help."),
        (["score", "a", "b", "c", "--engine", "x"], "choose from local, spark."),
        (["comment"], "treeline comment: Give one of --commit and --pull-request."),
        (["doctor", "--jsn"], "treeline doctor: No such option '--jsn'"),
    ],
)
def test_a_command_line_that_cannot_be_parsed_is_one_line_and_code_2(
    arguments: list[str], complaint: str
) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_error_is_one_line_and_code_1(tmp_path: Path) -> None:
    done = run("params", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("params.yaml: ")
    assert len(done.stderr.splitlines()) == 1


def test_the_shell_completes_commands_and_choices() -> None:
    assert completed("treeline rep", 1) == {"replay", "repro", "report"}
    assert completed("treeline score --engine ", 3) == {"local", "spark"}


def completed(line: str, word: int) -> set[str]:
    """Return what bash is told to choose from at a word of a line."""
    asking = {"_TREELINE_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(word)}
    return {each.partition(",")[2] for each in run(env=asking).stdout.split()}


def test_colour_is_for_a_terminal_that_wants_it(tmp_path: Path) -> None:
    assert RED in shown(tmp_path, NO_COLOR="")
    assert RED not in shown(tmp_path, NO_COLOR="1")
    assert "\033[" not in run("doctor", cwd=tmp_path).stdout


def shown(folder: Path, **environment: str) -> str:
    """Return what the doctor prints on a terminal, in a folder that is no repository."""
    outer, inner = pty.openpty()
    with os.fdopen(inner, "wb") as terminal:
        subprocess.run(
            [sys.executable, "-m", "treeline", "doctor"],
            cwd=folder, stdout=terminal, check=False,
            env={**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent), **environment},
        )  # fmt: skip
        text = os.read(outer, 1 << 16).decode()
    os.close(outer)
    return text


# --- JSON ----------------------------------------------------------------------------------------


def document(clone: Checkout, *arguments: str, good: bool = True) -> dict[str, Any]:
    """Return what a command prints on standard output, which is nothing but JSON."""
    parsed: dict[str, Any] = json.loads(
        clone.python("-m", "treeline", *arguments, good=good).stdout
    )
    return parsed


def test_what_is_declared_is_json_for_machines(reproduced: Checkout) -> None:
    assert document(reproduced, "params", "--json")["default"] == "flowers"


def test_what_a_run_made_is_json_and_its_progress_is_not(clone: Checkout) -> None:
    clone.change("alpha: 0.1", "alpha: 0.2")
    found = document(clone, "train", "--json", "sugar")
    [row] = found["models"]
    version = json.loads((clone.root / "model/sugar/signature.json").read_text())["version"]
    assert (row["model"], row["version"], row["passed"]) == ("sugar", version, True)
    assert row["score"]["low"] <= row["score"]["value"] <= row["score"]["high"]
    stages = [run["stage"] for run in found["runs"]]
    assert stages == ["train", "evaluate", "gate", "export"]
    assert found["failures"] == []


def test_a_comparison_is_json_for_machines(clone: Checkout) -> None:
    found = document(clone, "compare", "--base", "HEAD", "--json", "sugar")
    assert (found["good"], found["accepted"]) == (True, False)
    assert list(found["models"]) == ["sugar"]


def test_whether_a_training_is_due_is_json_for_machines(clone: Checkout) -> None:
    assert document(clone, "stale", "--json") == {"due": False, "reasons": []}


def test_findings_are_json_without_secrets(
    reproduced: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGE", "acme/hush-hush")
    monkeypatch.setenv("KOYEB_TOKEN", "hush-hush")
    done = reproduced.python("-m", "treeline", "doctor", "--json", good=False)
    found = json.loads(done.stdout)
    places = {each["place"]: each for each in found["groups"]["deployment by hand"]}
    assert places["KOYEB"]["state"] == "wrong"
    assert "hush-hush" not in done.stdout + done.stderr
    assert found["wrong"] >= 1
