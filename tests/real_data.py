"""The deposited seedlings for tests: a fixture that names what is missing where they are not."""

import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
BESIDE_THE_PROJECT = PROJECT.parent / "shared" / "datasets" / "Tree_Data.csv"


@pytest.fixture(scope="session")
def real_seedlings() -> Path:
    """Return the path of the deposit's Tree_Data.csv; skip the test where it is absent."""
    path = Path(os.environ.get("TREE_DATA", BESIDE_THE_PROJECT))
    if not path.is_file():
        pytest.skip(f"real seedlings absent: {path}; set TREE_DATA to the deposit's Tree_Data.csv")
    return path
