"""What the service reaches by name is there under that name; names say what a thing is."""

import ast
import re
from collections.abc import Iterator
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


# They say that something happened to a thing, and not what the thing is.
VAGUE = frozenset({"ask", "asked", "asking", "found", "insist", "kept", "tell", "told"})
PUBLISHED = {("routes/registry.py", "asked")}  # a key of an answer


def names_in(tree: ast.AST) -> Iterator[str]:
    """Yield the names that a module gives to functions, classes, arguments and variables."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.arg():
                yield node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr


def test_no_name_is_vague() -> None:
    vague = {
        (str(path.relative_to(API)), name)
        for path in API.rglob("*.py")
        for name in names_in(ast.parse(path.read_text(encoding="utf-8")))
        if name.strip("_").lower() in VAGUE
    }
    assert vague == PUBLISHED
