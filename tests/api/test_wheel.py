"""The tests say truly what they have tested: the source tree, or the wheel (`make test-wheel`)."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.serving import ROOT

SOURCES = {"api": ROOT / "api", "treeline": ROOT / "src" / "treeline"}
WHERE = "import sys; print(__import__(sys.argv[1]).__file__)"


def expected(package: str) -> Path:
    """Return the folder that a package must come from: the wheel's, where one is named."""
    wheel = os.environ.get("TESTED_WHEEL")
    return Path(wheel) / package if wheel else SOURCES[package]


@pytest.mark.parametrize("package", SOURCES)
def test_a_package_is_the_one_that_is_to_be_tested(package: str) -> None:
    assert Path(str(import_module(package).__file__)).parent == expected(package)


@pytest.mark.parametrize("package", SOURCES)
def test_a_service_that_is_started_imports_the_same(package: str) -> None:
    command = [sys.executable, "-c", WHERE, package]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert Path(told.stdout.strip()).parent == expected(package)


@pytest.mark.parametrize("package", SOURCES)
def test_a_package_says_that_it_is_typed(package: str) -> None:
    assert (expected(package) / "py.typed").is_file()


def test_the_command_is_the_one_that_is_to_be_tested() -> None:
    wheel = os.environ.get("TESTED_WHEEL")
    script = (Path(wheel) / "bin" if wheel else Path(sys.executable).parent) / "treeline"
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    version = import_module("treeline").__version__
    assert done.stdout == f"treeline, version {version}\n"
