"""A stage imports what it needs, for importing is most of what a small one does."""

import os
import subprocess
import sys

import pytest

from tests.conftest import NAME, Project

# Runs stages as DVC does, or loads one, and prints the packages that are there at the end.
RUN = """
import sys
from treeline.stages.__main__ import main
for stage in sys.argv[1:]:
    main(stage.split())
print(*{name.partition(".")[0] for name in sys.modules})
"""
LOAD = """
import sys
from treeline.registry import resolve
from treeline.stages.running import STAGES
resolve(STAGES, sys.argv[1], place="stage")
print(*{name.partition(".")[0] for name in sys.modules})
"""
MODELS = {"matplotlib", "onnx", "onnxruntime", "skl2onnx", "xgboost"}
TABLES = {"pandas", "pandera", "scipy", "sklearn"}


def packages(project: Project, script: str, *arguments: str) -> set[str]:
    """Return the packages that a script has imported at its end."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=project.root,
        env={name: value for name, value in os.environ.items() if name != "DVC_STAGE"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_stages_that_read_no_rows_import_nothing_for_them(project: Project) -> None:
    imported = packages(project, RUN, "code", "digest")
    assert imported & (MODELS | TABLES | {"pyarrow"}) == set()
    assert {"numpy", "pydantic"} <= imported


def test_a_gate_reads_numbers_alone(project: Project) -> None:
    assert packages(project, LOAD, "gate") & (MODELS | TABLES | {"pyarrow"}) == set()


def test_rows_of_a_file_are_collected_by_arrow_alone(project: Project) -> None:
    packages(project, RUN, "code", "digest")
    imported = packages(project, RUN, f"collect {NAME}")
    assert imported & (MODELS | TABLES) == set() and "pyarrow" in imported


@pytest.mark.parametrize("stage", ["prepare", "train"])
def test_what_comes_before_the_test_split_draws_and_converts_nothing(
    project: Project, stage: str
) -> None:
    assert packages(project, LOAD, stage) & MODELS == set()
