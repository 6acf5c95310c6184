"""Names say what a thing is; what is reached by a name in a text is there under that name."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
API, PACKAGE = ROOT / "api", ROOT / "src" / "treeline"
MODULES = sorted([*API.rglob("*.py"), *PACKAGE.rglob("*.py")])

reached_by_name = re.compile(r'"((?:api|treeline)(?:\.\w+)+):(\w+)"')
NAMES = sorted(
    {
        match.groups()
        for path in MODULES
        for match in reached_by_name.finditer(path.read_text(encoding="utf-8"))
    }
)

# They say that something happened to a thing, and not what the thing is.
VAGUE = frozenset({"asked", "found", "kept", "told"})
PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")

PUBLISHED = {
    ("api/routes/registry.py", "asked"),  # a key of an answer
    ("src/treeline/monitoring/record.py", "kept"),  # a key of the record of a look
    ("src/treeline/records/evaluation.py", "told"),  # a key of `evaluation.json`
    ("src/treeline/errors.py", "ArtifactNotFoundError"),  # as Python's FileNotFoundError
    ("src/treeline/trainers/preprocessors.py", "kept_"),  # an attribute of pickled estimators
}


def names_at_the_top(path: Path) -> set[str]:
    """Return the names that a module defines or imports for others."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Import() | ast.ImportFrom():
                names |= {each.asname or each.name for each in node.names}
            case ast.Assign(targets=targets):
                names |= {each.id for each in targets if isinstance(each, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    return names


def file_of(module: str) -> Path:
    """Return the file of a module of this repository."""
    top, *parts = module.split(".")
    path = {"api": API, "treeline": PACKAGE}[top].joinpath(*parts)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def test_there_are_names() -> None:
    assert len(NAMES) > 40


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_a_name_is_that_of_something_in_its_module(module: str, name: str) -> None:
    assert name in names_at_the_top(file_of(module))


def names_in(tree: ast.AST) -> Iterator[str]:
    """Yield the names that a module gives to functions, classes, arguments and variables."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name) | ast.MatchAs(name=str(name)):
                yield name
            case ast.ExceptHandler(name=str(name)) | ast.alias(asname=str(name)):
                yield name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Attribute(attr=name, ctx=ast.Store()):
                yield name


def is_vague(name: str) -> bool:
    """Tell whether a name is one of those words, or built with one."""
    return any(part.lower() in VAGUE for part in PARTS.findall(name))


@pytest.mark.parametrize(
    ("name", "vague"),
    [
        ("found", True),
        ("_told", True),
        ("check_kept", True),
        ("KEPT_ROWS", True),
        ("AskedRows", True),
        ("foundation", False),
        ("token", False),
    ],
)
def test_a_word_counts_wherever_it_stands_in_a_name(name: str, vague: bool) -> None:
    assert is_vague(name) is vague


def test_no_name_is_vague() -> None:
    vague = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in MODULES
        for name in [path.stem, *names_in(ast.parse(path.read_text(encoding="utf-8")))]
        if is_vague(name)
    }
    assert vague == PUBLISHED
