"""What a module does, as a digest: comments, docstrings and layout are no part of it."""

from pathlib import Path

import pytest

from treeline.stages.modules import Module, file_digest, reached, read_modules

PLAIN = """\
from typing import Final

LIMIT: Final = 3


def area(width, height=1.5):
    return f"{width:>{LIMIT}} of {width * height}"


class Empty:
    pass
"""
WORDY = '''\
"""What this module is for."""

from typing import Final  # a type

LIMIT: Final = 3
"""What the limit is for."""


def area(
    width,
    height=1.5,
):
    """Return the area in words."""
    # two numbers
    return f'{width:>{LIMIT}} of {width * height}'


class Empty:
    """Nothing yet."""
'''


def digest_of(text: str, folder: Path) -> str:
    path = folder / "module.py"
    path.write_text(text, encoding="utf-8")
    return file_digest(path)


def test_comments_docstrings_and_layout_change_no_digest(tmp_path: Path) -> None:
    assert digest_of(PLAIN, tmp_path) == digest_of(WORDY, tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("= 3", "= 4"),
        ("= 3", "= 3.0"),
        ("width * height", "width + height"),
        ("height=1.5", "height=None"),
        (" of ", " by "),
        (":>{", ":<{"),
        ("class Empty", "class Other"),
        ("    pass", "    ready = True"),
        ("return f", "yield f"),
        ("width, height=1.5", "height, width=1.5"),
    ],
)
def test_what_has_an_effect_changes_the_digest(tmp_path: Path, old: str, new: str) -> None:
    changed = PLAIN.replace(old, new, 1)
    assert changed != PLAIN
    assert digest_of(changed, tmp_path) != digest_of(PLAIN, tmp_path)


# Written down by Python 3.11; 3.12 and 3.13 gave the same.
def test_every_version_of_python_gives_the_same_digest(tmp_path: Path) -> None:
    assert digest_of(PLAIN, tmp_path) == "1f5c1ca45c96ada5"


def test_a_file_that_is_no_module_counts_by_its_bytes(tmp_path: Path) -> None:
    assert digest_of("def (", tmp_path) != digest_of("def ( # no", tmp_path)
    table = tmp_path / "table.csv"
    table.write_text("# a comment\n1\n")
    before = file_digest(table)
    table.write_text("1\n")
    assert file_digest(table) != before


@pytest.fixture
def modules(tmp_path: Path) -> dict[str, Module]:
    """Return a package in which one module picks a kind of another by name."""
    files = {
        "__init__": "",
        "kinds/__init__": 'KINDS = {"a": "house.kinds.a:A", "b": "house.kinds.b:B", "c": "os:sep"}',
        "kinds/a": "from .. import base\nfrom ..errors import Fault",
        "kinds/b": "import house.heavy",
        "base": "",
        "errors": "from house import words",
        "words": "",
        "heavy": "",
        "types": "",
        "stage": (
            "from typing import TYPE_CHECKING\n"
            "from house.kinds import KINDS\n"
            "if TYPE_CHECKING:\n    from house.types import Kind\n"
            "def run(kind: 'Kind'):\n    return resolve(KINDS, kind)"
        ),
    }
    for name, text in files.items():
        path = tmp_path / "house" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_modules(tmp_path / "house")


def test_a_module_reaches_what_it_imports_and_all_of_the_table_it_looks_up_in(
    modules: dict[str, Module],
) -> None:
    names = {"house", "house.base", "house.errors", "house.heavy", "house.kinds", "house.kinds.a"}
    names |= {"house.kinds.b", "house.stage", "house.words"}
    assert reached(modules, ["house.stage"], picks={}, left_out=()) == names
    assert reached(modules, ["house.kinds"], picks={}, left_out=()) == {"house", "house.kinds"}


def test_what_is_picked_and_left_out_is_not_reached(modules: dict[str, Module]) -> None:
    names = reached(
        modules, ["house.stage"], picks={"house.kinds:KINDS": {"a"}}, left_out={"house.errors"}
    )
    assert names == {"house", "house.base", "house.kinds", "house.kinds.a", "house.stage"}


def test_modules_are_the_same_when_read_back(modules: dict[str, Module]) -> None:
    assert {name: Module.of(module.to_dict()) for name, module in modules.items()} == modules
