"""`make repro` for a person: how far it is, what came of it; nothing is lost when it is stopped."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.checkout import Checkout
from tests.waiting import wait_until
from treeline.stages.running import STAGES

REPRO = ("-m", "treeline", "repro")
TRAIN = ("-m", "treeline", "train")
# As a shell starts what is in front: a test may itself run where Ctrl-C is ignored.
IN_FRONT = """
import signal
from treeline.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""
OF_DVC = ("Running stage", "didn't change", "Updating lock file", "Use `dvc push`", "To track")


def test_a_refused_model_has_the_last_word_and_keeps_no_other_from_being_made(
    clone: Checkout,
) -> None:
    clone.change("floor: {accuracy: 0.8}", "floor: {accuracy: 1.01}")
    done = clone.python(*REPRO, good=False)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("gate flowers: refused: accuracy is")
    assert "Traceback" not in done.stderr
    table = done.stdout[done.stdout.index("model  ") :].splitlines()
    assert table[0].split() == ["model", "version", "metric", "gate", "report"]
    rows = {line.split()[0]: line for line in table[1:3]}
    assert "refused" in rows["flowers"] and "model/flowers/report.md" in rows["flowers"]
    version = json.loads((clone.root / "model/sugar/signature.json").read_text())["version"]
    assert f"sugar    {version}  rmse " in rows["sugar"] and "passed" in rows["sugar"]
    assert " to " in rows["sugar"]
    assert table[-1].endswith("; 1 failed")
    assert [words for words in OF_DVC if words in done.stdout + done.stderr] == []


def test_stages_are_counted_over_all_models(clone: Checkout) -> None:
    done = clone.python(*REPRO, "--force")
    total = 2 * len(STAGES)
    placed = [line for line in done.stdout.splitlines() if f" of {total}] " in line]
    places = [f"[{number:>2} of {total}] " for number in range(1, total + 1)]
    assert [line[: len(places[0])] for line in placed] == places
    assert all(line.endswith(" s") for line in placed)
    assert f"{total} stages ran" in done.stdout
    again = clone.python(*REPRO)
    assert "Everything was up to date" in again.stdout


def test_two_at_once_run_one_after_the_other(clone: Checkout) -> None:
    command = [sys.executable, *TRAIN, "sugar", "--force"]
    options: dict[str, Any] = {
        "cwd": clone.root,
        "env": clone.environment(warm=True),
        "text": True,
        "encoding": "utf-8",
    }
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with (
        subprocess.Popen(command, **options, **pipes) as one,
        subprocess.Popen(command, **options, **pipes) as other,
    ):
        ended = [each.communicate(timeout=600) for each in (one, other)]
    assert [one.returncode, other.returncode] == [0, 0]
    waited = ["Another command runs the pipeline here" in said for _, said in ended]
    assert sorted(waited) == [False, True]
    total = len(STAGES)
    assert all(f"[{total} of {total}] export sugar" in shown for shown, _ in ended)


def test_one_model_is_counted_alone(clone: Checkout) -> None:
    done = clone.python(*TRAIN, "sugar", "--force")
    assert f"[{len(STAGES)} of {len(STAGES)}] export sugar: version" in done.stdout
    assert "flowers" not in done.stdout


def test_a_model_that_is_not_declared_is_told(clone: Checkout) -> None:
    done = clone.python(*TRAIN, "roses", good=False)
    assert done.stderr == ("params.yaml: models.roses: not declared; declared are flowers, sugar\n")


def test_what_dvc_itself_finds_wrong_is_told(clone: Checkout) -> None:
    (clone.root / "dvc.yaml").write_text("stages: [", encoding="utf-8")
    done = clone.python(*REPRO, good=False)
    assert "dvc.yaml" in done.stderr
    assert "`dvc repro` failed; it says above why" in done.stderr


# DVC removes them before it starts the stage, long before that can say that it runs.
@pytest.mark.parametrize(
    "gone", ["model/flowers/training.json", "model/flowers/images", "model/flowers/verdict.json"]
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "ended"])
def test_what_is_stopped_leaves_nothing_missing_and_goes_on(
    clone: Checkout, number: signal.Signals, gone: str
) -> None:
    _stop(clone, number, lambda: not (clone.root / gone).exists(), what=f"{gone} is away")
    missing = clone.run("git", "ls-files", "--deleted").stdout
    assert missing == ""
    clone.python(*REPRO)
    assert clone.run("git", "status", "--porcelain").stdout == ""


def test_dvc_is_not_stopped_while_it_writes_its_lock(clone: Checkout) -> None:
    lock = clone.root / "dvc.lock"
    whole = lock.read_bytes()
    _stop(clone, signal.SIGTERM, lambda: lock.stat().st_size < len(whole), what="it is written")
    assert lock.read_bytes() == whole
    clone.python(*REPRO)
    assert clone.run("git", "status", "--porcelain").stdout == ""


def _stop(
    clone: Checkout, number: signal.Signals, reached: Callable[[], bool], *, what: str
) -> None:
    """Make everything anew by force, and stop that by a signal at a moment that is reached."""
    with subprocess.Popen(
        [sys.executable, "-c", IN_FRONT, "repro", "--force"],
        cwd=clone.root,
        env=clone.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as running:
        wait_until(reached, seconds=300, what=what, step_seconds=0.001)
        running.send_signal(number)
        said, complained = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in complained
    assert "go on where it stopped: make repro" in said
