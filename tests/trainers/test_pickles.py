"""What a pickle is made of can be imported where nothing of training is installed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PICKLED = ("adopted", "columns", "preprocessors", "translated.forest")
# Imports a module where only the distributions named after it are installed. Libraries look for
# others as well and do without them (joblib for psutil, scikit-learn for rich), as in the image.
CODE = """
import sys
from importlib import import_module
from importlib.metadata import packages_distributions

pinned = set(sys.argv[2:])
absent = {
    top
    for top, distributions in packages_distributions().items()
    if not pinned & {name.lower().replace("_", "-") for name in distributions}
}


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


for name in [name for name in sys.modules if name.partition(".")[0] in absent]:
    del sys.modules[name]  # what a .pth file imported before any code ran
sys.meta_path.insert(0, Absent())
import_module(sys.argv[1])
"""


def imported(module: str) -> subprocess.CompletedProcess[str]:
    pinned = (ROOT / "requirements" / "pickle.txt").read_text(encoding="utf-8")
    there = re.findall(r"^([a-z0-9.-]+)==", pinned, re.MULTILINE)
    return subprocess.run(
        [sys.executable, "-c", CODE, module, "treeline", *there],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("module", PICKLED)
def test_it_needs_no_more_than_the_image_for_pickles_has(module: str) -> None:
    done = imported(f"treeline.trainers.{module}")
    assert done.returncode == 0, done.stderr


def test_what_needs_more_is_seen() -> None:
    assert "ModuleNotFoundError: No module named 'ruamel'" in imported("ruamel.yaml").stderr
