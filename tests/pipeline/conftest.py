import pytest

from tests.pipeline.checkout import Checkout, create


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A clone in which `dvc repro` has run once and everything is committed; not to be changed."""
    made = create(tmp_path_factory.mktemp("reproduced") / "clone")
    made.run("dvc", "repro")
    made.commit("Reproduce")
    return made


@pytest.fixture
def clone(reproduced: Checkout, tmp_path) -> Checkout:
    """A copy of the reproduced clone that a test may change."""
    return reproduced.copy(tmp_path / "clone")
