"""Every row of the threat model names a test that shows its control, and that test exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.repository.test_workshop import ROOT

DOCUMENT = ROOT / "docs" / "threat-model.md"
API_TESTS = ROOT / "tests" / "api"
SHOWN_BY = "shown by"

reference = re.compile(r"`((?:tests/)?[\w/]+\.py)::(\w+)`")


def rows() -> list[dict[str, str]]:
    """Return the rows of the table of threats, each by the names of its columns."""
    text = DOCUMENT.read_text(encoding="utf-8").partition("\n## Threats\n")[2]
    lines = [line for line in text.partition("\n## ")[0].splitlines() if line.startswith("|")]
    header, _, *body = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(header, cells, strict=True)) for cells in body]


@cache
def functions_of(path: Path) -> frozenset[str]:
    """Return the names of the test functions of a file, those in classes too."""
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    functions = (each for each in tree if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(each.name for each in functions if each.name.startswith("test_"))


def missing(cell: str) -> list[str]:
    """Return the references of a cell that lead to no test."""
    return [
        f"{file}::{name}"
        for file, name in reference.findall(cell)
        if not (path := located(file)).is_file() or name not in functions_of(path)
    ]


def located(file: str) -> Path:
    """Return the path of a test file, which is below `tests/api` where no folder is named."""
    return ROOT / file if file.startswith("tests/") else API_TESTS / file


def label(row: dict[str, str]) -> str:
    """Name a row by the beginning of its threat."""
    return row["threat"][:40]


def test_the_table_has_rows_for_every_kind_of_threat() -> None:
    assert {letter for row in rows() for letter in row[""] if letter.isalpha()} == set("STRIDE")


@pytest.mark.parametrize("row", rows(), ids=label)
def test_a_row_names_a_test_that_shows_it(row: dict[str, str]) -> None:
    assert reference.findall(row[SHOWN_BY]), "name one as `file.py::test_name`"


@pytest.mark.parametrize("row", rows(), ids=label)
def test_the_tests_that_a_row_names_exist(row: dict[str, str]) -> None:
    assert missing(row[SHOWN_BY]) == []
