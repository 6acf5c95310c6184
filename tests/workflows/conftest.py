"""The forge every scenario starts from: made once for all processes, copied for each."""

import fcntl
import os
from pathlib import Path

import pytest

from tests.checkout import Checkout
from tests.github.evaluator import lacking
from tests.workflows.runner import Forge, trained


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Forge:
    """Return a forge with one trained and released model, to be left as it is."""
    if reason := lacking():
        pytest.skip(reason)
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / "trained-forge"
    with (shared / "trained-forge.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "done").exists():
            return Forge(Checkout(folder / "clone"), folder)
        forge = trained(folder)
        (folder / "done").touch()
        return forge


@pytest.fixture
def forge(start: Forge, tmp_path: Path) -> Forge:
    """Return a copy of it, to be changed at will."""
    return start.copied(tmp_path / "all")
