"""A scratch forge, as the working directory of what is tested."""

import os
from pathlib import Path

import pytest

from tests.delivery.forge import Forge, founded
from tests.person import of_a_person
from tests.warm import programs

__all__ = ["of_a_person"]

NOWHERE = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",  # the port where nothing answers
    "AWS_ACCESS_KEY_ID": "somebody",
    "AWS_SECRET_ACCESS_KEY": "s3cret",
    "AWS_MAX_ATTEMPTS": "1",
    "DVC_REMOTE_URL": "s3://bucket/dvc",
}


@pytest.fixture(autouse=True)
def warm_dvc(of_a_person: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is called in this process run a DVC that has been imported before."""
    monkeypatch.setenv("PATH", str(programs()), prepend=os.pathsep)


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name a shared remote that cannot be reached."""
    for name, value in NOWHERE.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Forge:
    """Return a forge to be left as it is."""
    return founded(tmp_path_factory.mktemp("first") / "forge")


@pytest.fixture
def forge(first: Forge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Forge:
    """Return a copy of it, to be changed at will; its clone is the working directory."""
    made = first.copy(tmp_path / "forge")
    monkeypatch.chdir(made.clone.root)
    return made


@pytest.fixture(scope="session")
def second(first: Forge, tmp_path_factory: pytest.TempPathFactory) -> Forge:
    """Return a forge whose clone has trained anew what was declared, to be left as it is."""
    made = first.copy(tmp_path_factory.mktemp("second") / "forge")
    made.declare("sugar", 2)
    made.train()
    return made


@pytest.fixture
def trained(second: Forge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Forge:
    """Return a copy of it, to be changed at will; its clone is the working directory."""
    made = second.copy(tmp_path / "forge")
    monkeypatch.chdir(made.clone.root)
    return made
