"""The environment of a person at work, whatever runs the tests."""

import os
import sys
from pathlib import Path

import pytest

OF_A_RUN = ("GITHUB_", "AWS_", "GDRIVE_", "DVC_REMOTE", "REASON", "IMAGE", "VERSION", "GH_")


@pytest.fixture(autouse=True)
def of_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the environment of a person whose virtual environment is active."""
    for name in list(os.environ):
        if name.startswith(OF_A_RUN):
            monkeypatch.delenv(name)
    tools = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
