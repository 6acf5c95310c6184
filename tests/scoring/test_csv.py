"""A CSV is scored as the rows that a model learnt from were read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.commanding import treeline
from tests.tiny_models import SURVIVAL, write_model
from treeline.artifact.store import ArtifactStore
from treeline.errors import DataError

HEADER = "Plot,Species,Light_ISF,EMF,Phenolics,Leaves,Sterile,Event\n"
GOOD = (
    '3,Quercus alba,0.1,NA,1.5,4,FALSE,1\n3,"Prunus serotina",0.2,,NA,5.0,true,NA\n'
    "4,Quercus alba,1e-1,12.5,-1,3,0,0\n"
)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    write_model(tmp_path / "model", replace(SURVIVAL, missing=("NA",)))
    return tmp_path / "model"


def scored(models: Path, text: str, *options: str) -> pa.Table:
    source, target = models.parent / "rows.csv", models.parent / "scored.parquet"
    source.write_text(text)
    treeline("score", SURVIVAL.name, str(source), str(target), "--models", str(models), *options)
    return parquet.read_table(target)


def test_words_for_missing_values_and_columns_besides_are_read_as_in_training(
    models: Path,
) -> None:
    found = scored(models, HEADER + GOOD, "--keep", "Plot")
    model = ArtifactStore(models).load(SURVIVAL.name)
    records: list[dict[str, Any]] = [
        {"Species": "Quercus alba", "Light_ISF": 0.1, "Phenolics": 1.5, "Leaves": 4, "Sterile": 0},
        {"Species": "Prunus serotina", "Light_ISF": 0.2, "Leaves": 5, "Sterile": 1},
        {
            **{"Species": "Quercus alba", "Light_ISF": 0.1, "EMF": 12.5},
            **{"Phenolics": -1, "Leaves": 3, "Sterile": 0},
        },
    ]
    expected = model.runtime.predict(model.encoder.matrix(records))
    assert expected.scores is not None
    assert found["probability"].to_pylist() == expected.scores[:, 1].tolist()
    assert found["Plot"].to_pylist() == ["3", "3", "4"]
    assert found["error"].null_count == 3


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("3,Quercus alba,dim,0,0,4,true,1", 'row 4: Light_ISF: "dim" is a text'),
        ("3,Quercus alba,0.1,0,0,4.5,true,1", "row 4: Leaves: 4.5 is not admitted"),
        ("3,Quercus alba,0.1,0,0,4,maybe,1", 'row 4: Sterile: "maybe" is a text'),
        ("3,NA,0.1,0,0,4,true,1", "row 4: Species: is missing"),
        ("3,Fagus,0.1,0,0,4,true,1", 'row 4: Species: "Fagus" is not admitted'),
        ("3,Quercus alba,1_0,0,0,4,true,1", 'row 4: Light_ISF: "1_0" is a text'),
    ],
)
def test_a_bad_field_is_told_with_its_row_and_its_text(models: Path, row: str, told: str) -> None:
    with pytest.raises(DataError, match="1 of 4 rows are bad") as refused:
        scored(models, HEADER + GOOD + row + "\n")
    assert f"rows.csv, {told}" in str(refused.value)


def test_a_header_alone_gives_no_rows(models: Path) -> None:
    assert scored(models, HEADER).num_rows == 0


def test_a_column_that_stands_twice_is_refused(models: Path) -> None:
    with pytest.raises(DataError, match="have the column 'EMF' twice"):
        scored(models, HEADER.replace("Plot", "EMF") + GOOD)
