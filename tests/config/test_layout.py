"""Paths of the pipeline: all below folders of the model, no two alike."""

from pathlib import Path

import pytest

from treeline.config import Layout

PATHS = [name for name, value in vars(Layout).items() if isinstance(value, property)]


@pytest.mark.parametrize("name", PATHS)
def test_every_path_is_below_the_folders_of_the_model(name: str) -> None:
    layout = Layout("iris", root=Path("/repo"))
    path = getattr(layout, name)
    folders = ("/repo/dataset/iris", "/repo/model/iris", "/repo/model/inputs/iris")
    assert any(path.is_relative_to(folder) for folder in folders)


def test_no_two_paths_are_alike() -> None:
    layout = Layout("iris")
    paths = [getattr(layout, name) for name in PATHS]
    assert len(set(paths)) == len(paths)
