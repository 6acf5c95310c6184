"""A declared name → the object behind it, or the reason why there is none."""

from collections import OrderedDict

import pytest

from treeline.errors import MissingExtraError, UnknownNameError
from treeline.registry import load_class, resolve

TABLE = {
    "ordered": "collections:OrderedDict",
    "forest": "no_such_engine.forest:Trainer",
    "broken": "treeline.no_such_module:Thing",
}


def test_a_name_of_the_table_is_the_object_it_names() -> None:
    assert resolve(TABLE, "ordered", place="here") is OrderedDict


def test_an_unknown_name_is_told_with_its_place_and_those_known() -> None:
    with pytest.raises(UnknownNameError) as error:
        resolve(TABLE, "orderedly", place="models.iris.trainer")
    assert str(error.value) == (
        "models.iris.trainer: 'orderedly' is not known; choose from ['broken', 'forest', 'ordered']"
    )


@pytest.mark.parametrize(("extra", "shown"), [(None, "forest"), ("h2o", "h2o")])
def test_an_engine_that_is_not_installed_is_told_with_its_command(
    extra: str | None, shown: str
) -> None:
    with pytest.raises(MissingExtraError) as error:
        resolve(TABLE, "forest", place="models.iris.trainer", extra=extra)
    assert str(error.value) == (
        "models.iris.trainer: 'forest' needs the package 'no_such_engine'; "
        f"install it with: pip install '.[{shown}]'"
    )


def test_a_module_of_ours_that_is_missing_is_no_missing_extra() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"treeline\.no_such_module"):
        resolve(TABLE, "broken", place="here")


def test_a_class_is_found_by_its_import_path() -> None:
    assert load_class("collections.OrderedDict", place="here") is OrderedDict


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("collections.OrderedDic", "cannot be imported (module 'collections' has no attribute"),
        ("no_such_package.Thing", "cannot be imported (No module named 'no_such_package')"),
        ("OrderedDict", "cannot be imported ("),
        ("", "cannot be imported ("),
        (".Thing", "cannot be imported ("),
        ("collections.namedtuple", "is not a class; give the dotted path of one"),
    ],
    ids=["misspelt", "not installed", "no module", "nothing", "relative", "a function"],
)
def test_what_is_no_class_is_told_with_its_place(path: str, told: str) -> None:
    with pytest.raises(UnknownNameError) as error:
        load_class(path, place="models.iris.candidates.forest.estimator")
    assert str(error.value).startswith("models.iris.candidates.forest.estimator: ")
    assert f"{path!r} {told}" in str(error.value)
