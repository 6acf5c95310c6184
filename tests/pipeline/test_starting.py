"""`python -m treeline.stages STAGE MODEL`: how a stage starts, and what it says when it cannot."""

import platform
import sys

import pytest

from tests.checkout import ROOT, Checkout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            (),
            "usage: python -m treeline.stages {code|digest} | "
            "{collect|prepare|train|evaluate|gate|export} MODEL",
        ),
        (("collect", "roses"), "models.roses: not declared; declared are flowers, sugar"),
        (("colect", "sugar"), "'colect' is not known; choose from ['collect', 'evaluate'"),
    ],
    ids=["nothing is named", "an undeclared model", "an unknown stage"],
)
def test_a_stage_that_cannot_start_says_why(
    fresh: Checkout, arguments: tuple[str, ...], told: str
) -> None:
    done = fresh.python("-m", "treeline.stages", *arguments, good=False)
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_stage_runs_no_other_code_than_dvc_writes_down(fresh: Checkout) -> None:
    command = ("env", f"PYTHONPATH={ROOT / 'src'}", sys.executable, "-m", "treeline.stages")
    done = fresh.run(*command, "collect", "sugar", good=False)
    assert f"this Python runs {ROOT / 'src' / 'treeline'}" in done.stderr
    assert "install this checkout in its place: make setup" in done.stderr
    assert not (fresh.root / "dataset" / "sugar").exists()


# What the libraries chose once the door had been passed; before it they must not be there at all.
CHOSEN = """
import sys
from treeline.stages.__main__ import main
assert not {"numpy", "scipy"} & set(sys.modules)
try:
    main([])
except SystemExit:
    pass
import numpy, scipy.linalg, threadpoolctl
from numpy._core._multiarray_umath import __cpu_features__ as features
print({found["architecture"] for found in threadpoolctl.threadpool_info()}, features["X86_V4"])
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="its processors are all alike to numpy")
def test_every_processor_calculates_the_same(fresh: Checkout) -> None:
    assert fresh.run(sys.executable, "-c", CHOSEN).stdout.strip() == "{'Haswell'} False"
