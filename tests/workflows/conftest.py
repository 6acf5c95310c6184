"""The forge every scenario starts from: made once, copied for each."""

from pathlib import Path

import pytest

from tests.workflows.runner import Forge, trained, why_not


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Forge:
    """Return a forge with one trained and released model, to be left as it is."""
    if reason := why_not():
        pytest.skip(reason)
    return trained(tmp_path_factory.mktemp("start") / "all")


@pytest.fixture
def forge(start: Forge, tmp_path: Path) -> Forge:
    """Return a copy of it, to be changed at will."""
    return start.copied(tmp_path / "all")
