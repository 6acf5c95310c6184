"""What tests of provenance share: a `dvc` that has been imported before."""

import os

import pytest

from tests.warm import programs


@pytest.fixture(autouse=True)
def warm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands of this process find the `dvc` of `tests.warm` first."""
    monkeypatch.setenv("PATH", f"{programs()}{os.pathsep}{os.environ['PATH']}")
