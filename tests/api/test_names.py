"""What the service reaches by name is there under that name."""

import re
from importlib import import_module
from pathlib import Path

import pytest

API = Path(__file__).parents[2] / "api"

reached_by_name = re.compile(r'"((?:api|treeline)(?:\.\w+)+):(\w+)"')
NAMES = sorted(
    {
        found.groups()
        for path in API.rglob("*.py")
        for found in reached_by_name.finditer(path.read_text(encoding="utf-8"))
    }
)


def test_there_are_names() -> None:
    assert len(NAMES) > 10


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_a_name_is_that_of_something_in_its_module(module: str, name: str) -> None:
    assert hasattr(import_module(module), name)
