"""Data sets bundled with scikit-learn → one table each."""

from typing import Any

import pandas as pd
import pytest

from treeline.config.sources import LibrarySource
from treeline.errors import SourceError, UnknownNameError
from treeline.sources.library import DATASETS, LibraryTables


def read(dataset: str, **declared: Any) -> pd.DataFrame:
    (table,) = LibraryTables(LibrarySource(kind="library", dataset=dataset, **declared)).tables()
    return table.to_pandas()


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_data_set_comes_with_its_target(dataset: str) -> None:
    frame = read(dataset)
    assert "target" in frame
    assert len(frame) > 100


def test_labels_are_a_column_of_class_names() -> None:
    frame = read("iris", labels="species")
    assert frame["species"].value_counts().to_dict() == dict.fromkeys(
        ["setosa", "versicolor", "virginica"], 50
    )
    assert "target" in frame


def test_labels_of_a_data_set_without_classes_are_refused() -> None:
    with pytest.raises(SourceError, match=r"source\.labels: 'diabetes' is no data set of classes"):
        read("diabetes", labels="name")


def test_a_data_set_that_is_not_bundled_is_told_beside_those_that_are() -> None:
    with pytest.raises(UnknownNameError, match=r"source\.dataset: 'irises' .* choose from \['brea"):
        read("irises")
