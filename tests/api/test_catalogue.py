"""Which model is the default, of those on disk and those of a registry that come bit by bit."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from api.models.catalogue import Catalogue, Entry
from api.models.exported import load_entry
from tests.tiny_models import DIABETES, IRIS, SURVIVAL, Recipe, write_model
from treeline.artifact.store import ArtifactStore

# What lies on disk, what the registry has named so far, whether that is all; and the default.
CASES: dict[str, tuple[Sequence[Recipe], Sequence[Recipe], bool, str | None]] = {
    "nothing is named yet": ((), (), False, None),
    "the first of several": ((), (IRIS,), False, None),
    "the only one there is": ((), (IRIS,), True, "iris"),
    "one of two says it is": ((), (IRIS, SURVIVAL), True, "tree-survival"),
    "none of two says it is": ((), (IRIS, DIABETES), True, None),
    "one on disk, the first of several": ((DIABETES,), (SURVIVAL,), False, "diabetes"),
    "one on disk, whatever is named": ((DIABETES,), (SURVIVAL,), True, "diabetes"),
    "two on disk, one that says it is": ((DIABETES, IRIS), (SURVIVAL,), True, "tree-survival"),
}


def entries(folder: Path, recipes: Sequence[Recipe]) -> dict[str, Entry]:
    for recipe in recipes:
        write_model(folder, recipe)
    return {recipe.name: load_entry(ArtifactStore(folder), recipe.name) for recipe in recipes}


@pytest.mark.parametrize("case", CASES)
def test_a_model_of_the_registry_is_the_default_once_all_are_named(
    tmp_path: Path, case: str
) -> None:
    on_disk, named, complete, wanted = CASES[case]
    catalogue = Catalogue(entries(tmp_path / "disk", on_disk))
    above = entries(tmp_path / "registry", named)
    catalogue.overlay(
        {name: replace(entry, origin="registry") for name, entry in above.items()},
        complete=complete,
    )
    assert catalogue.default_name == wanted


def test_the_default_stays_while_what_is_named_comes_anew(tmp_path: Path) -> None:
    catalogue = Catalogue({})
    both = entries(tmp_path, (IRIS, SURVIVAL))
    catalogue.overlay(both, complete=True)
    catalogue.overlay({"iris": both["iris"]}, complete=False)
    assert (catalogue.default_name, list(catalogue.by_path)) == (
        "tree-survival",
        ["/v1/models/iris/predict"],
    )
