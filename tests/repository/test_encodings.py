"""Every text that is read or written has a declared encoding: none depends on the user's locale."""

import ast
from collections.abc import Iterator

import pytest

from tests.repository.test_workshop import ROOT

FOLDERS = ("src", "api", "requirements", "deploy", "benchmarks")
TEXTS = {"read_text": 0, "write_text": 1}  # methods, and how many arguments stand before `encoding`


def undeclared(source: str) -> list[int]:
    """Return the lines of calls that read or write text and leave the encoding to the locale."""
    return sorted({call.lineno for call in calls(source) if is_undeclared(call)})


def calls(source: str) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))


def is_undeclared(call: ast.Call) -> bool:
    keywords = {word.arg: word.value for word in call.keywords}
    if "encoding" in keywords or None in keywords:
        return False
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if name in TEXTS:
        return len(call.args) <= TEXTS[name]
    if isinstance(call.func, ast.Name) and call.func.id == "open":
        return "b" not in mode_of(call.args[1:2], keywords)
    if name == "open" and not call.args[1:]:
        mode = mode_of(call.args[:1], keywords)
        return bool(mode) and set(mode) <= set("rwaxt+")
    text = keywords.get("text")
    return isinstance(text, ast.Constant) and text.value is True


def mode_of(given: list[ast.expr], keywords: dict[str | None, ast.expr]) -> str:
    mode = given[0] if given else keywords.get("mode", ast.Constant("r"))
    return mode.value if isinstance(mode, ast.Constant) and isinstance(mode.value, str) else ""


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_text_has_an_encoding(folder: str) -> None:
    lost = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line in undeclared(path.read_text(encoding="utf-8"))
    ]
    assert lost == []


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("path.read_text()", [1]),
        ("path.write_text(text)", [1]),
        ("path.write_text(text, 'utf-8')", []),
        ("path.read_text(encoding='utf-8')", []),
        ("open('a')", [1]),
        ("open('a', 'rb')", []),
        ("path.open('w')", [1]),
        ("path.open()", [1]),
        ("path.open('wb')", []),
        ("os.open(path, os.O_WRONLY)", []),
        ("Image.open(body, formats=FORMATS)", []),
        ("run(command, text=True)", [1]),
        ("run(command, text=True, encoding='utf-8')", []),
    ],
)
def test_the_rule_sees(source: str, lines: list[int]) -> None:
    assert undeclared(source) == lines
