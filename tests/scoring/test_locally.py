"""Parquet is scored on one machine as the service would answer its rows, whole or not at all."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.commanding import treeline
from tests.tiny_models import DIABETES, IRIS, SURVIVAL, Recipe, write_model
from treeline.artifact.store import ArtifactStore
from treeline.errors import ArtifactRejectedError, DataError, SourceError

ROWS = 300_000  # more than two batches
SPECIES = SURVIVAL.features["Species"].categories


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for recipe in (SURVIVAL, IRIS, DIABETES):
        write_model(tmp_path / "model", recipe)
    return tmp_path / "model"


def seedlings(rows: int) -> pa.Table:
    """Return rows that the survival model admits, some without the values that may be missing."""
    number = np.arange(rows)
    columns: dict[str, Any] = {
        "No": number,
        "Species": pa.array([SPECIES[each % 4] for each in number]).dictionary_encode(),
        "Light_ISF": (number % 101) / 100,
        "EMF": pa.array(number % 90, mask=number % 3 == 0),
        "Phenolics": pa.array(number % 7, pa.float64(), mask=number % 5 == 0),
        "Leaves": number % 12,
        "Sterile": number % 2 == 0,
        "Remark": ["of no concern"] * rows,
    }
    return pa.table(columns)


def scored(models: Path, recipe: Recipe, table: pa.Table, *options: str) -> pa.Table:
    source, target = models.parent / "rows.parquet", models.parent / "scored.parquet"
    parquet.write_table(table, source)
    treeline("score", recipe.name, str(source), str(target), "--models", str(models), *options)
    return parquet.read_table(target)


def answers(models: Path, recipe: Recipe, table: pa.Table) -> Any:
    """Return what the artifact says of the same rows, given as records one after the other."""
    model = ArtifactStore(models).load(recipe.name)
    records = table.select(list(recipe.features)).to_pylist()
    return model.runtime.predict(model.encoder.matrix(records))


def test_rows_get_the_answers_that_records_get(models: Path) -> None:
    table = seedlings(1000)
    found, expected = scored(models, SURVIVAL, table), answers(models, SURVIVAL, table)
    assert found.column_names == ["prediction", "probability", "error"]
    assert found["prediction"].to_pylist() == expected.labels.tolist()
    assert found["probability"].to_pylist() == expected.scores[:, 1].tolist()
    assert found["error"].null_count == len(table)


def test_several_classes_come_by_name_with_a_probability_each(models: Path) -> None:
    table = pa.table({name: [1.0, 2.5, 5.0] for name in IRIS.features})
    found, expected = scored(models, IRIS, table), answers(models, IRIS, table)
    assert found["prediction"].to_pylist() == [IRIS.classes[code] for code in expected.labels]
    assert found["probability"].to_pylist() == expected.scores.max(axis=1).tolist()
    assert found["probability_setosa"].to_pylist() == expected.scores[:, 0].tolist()


def test_a_regression_gives_a_value(models: Path) -> None:
    table = pa.table({"age": [0.1, 0.2], "bmi": [0.0, -0.1]})
    found, expected = scored(models, DIABETES, table), answers(models, DIABETES, table)
    assert found.column_names == ["prediction", "error"]
    assert found["prediction"].to_pylist() == expected.values.tolist()


def test_columns_are_kept_and_rows_stay_in_order_over_many_batches(models: Path) -> None:
    found = scored(models, SURVIVAL, seedlings(ROWS), "--keep", "No", "--keep", "Species")
    assert found["No"].to_pylist() == list(range(ROWS))
    assert found["Species"][-1].as_py() == SPECIES[(ROWS - 1) % 4]
    alike = found.filter(pa.compute.equal(pa.compute.bit_wise_and(found["No"], 1), 0))
    assert len(alike) == ROWS // 2


def test_a_folder_comes_out_as_a_folder_of_the_same_files(models: Path, tmp_path: Path) -> None:
    folder, target = tmp_path / "rows", tmp_path / "scored"
    for name in ("a.parquet", "deeper/b.parquet", "_notes/c.parquet"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(seedlings(10), folder / name)
    text = treeline("score", SURVIVAL.name, str(folder), str(target), "--models", str(models))
    assert "20 rows" in str(text)
    there = {str(path.relative_to(target)) for path in target.rglob("*.parquet")}
    assert there == {"a.parquet", "deeper/b.parquet"}


def test_bad_rows_are_named_and_nothing_is_written(models: Path, tmp_path: Path) -> None:
    table = seedlings(200_000).to_pydict()
    table["Light_ISF"][150_000] = 1.7
    table["Species"][3] = "Fagus"
    table["Sterile"][4] = None
    with pytest.raises(DataError) as refused:
        scored(models, SURVIVAL, pa.table(table))
    told = str(refused.value)
    assert told.startswith("3 of 200,000 rows are bad")
    assert 'rows.parquet, row 4: Species: "Fagus" is not admitted; give one of Acer' in told
    assert "row 5: Sterile: is missing; give true or false" in told
    assert "row 150001: Light_ISF: 1.7 is not admitted; give a number from 0 to 1" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "rows.parquet"]


def test_bad_rows_are_told_in_the_place_of_a_prediction_where_asked(models: Path) -> None:
    table = seedlings(4).to_pydict()
    table["Leaves"][2] = 1.5
    found = scored(models, SURVIVAL, pa.table(table), "--bad-rows", "report")
    assert [value is None for value in found["prediction"].to_pylist()] == [
        False,
        False,
        True,
        False,
    ]
    assert found["probability"][2].as_py() is None
    assert found["error"][2].as_py() == (
        "rows.parquet, row 3: Leaves: 1.5 is not admitted; give a whole number, at least 0"
    )


def test_what_may_be_missing_may_be_left_out_and_nothing_else(models: Path) -> None:
    table = seedlings(10)
    assert scored(models, SURVIVAL, table.drop_columns(["EMF", "Phenolics"])).num_rows == 10
    with pytest.raises(DataError, match="rows have no column 'Leaves'; they have 'No', 'Species'"):
        scored(models, SURVIVAL, table.drop_columns(["Leaves"]))


def test_a_column_of_another_type_is_refused_by_name(models: Path) -> None:
    table = seedlings(3).set_column(2, "Light_ISF", pa.array(["0.1", "0.2", "0.3"]))
    with pytest.raises(
        DataError, match="'Light_ISF': holds text; give whole, floating or decimal numbers"
    ):
        scored(models, SURVIVAL, table)


def test_a_kept_column_may_not_hide_a_prediction(models: Path) -> None:
    table = seedlings(3).rename_columns({"Remark": "probability"})
    with pytest.raises(DataError, match="--keep probability: the result has another column"):
        scored(models, SURVIVAL, table, "--keep", "probability")


def test_no_rows_give_an_empty_table(models: Path) -> None:
    found = scored(models, SURVIVAL, seedlings(0), "--keep", "No")
    assert (found.num_rows, found.column_names[0]) == (0, "No")


def test_what_is_no_table_is_refused(models: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.xlsx").write_text("a,b\n")
    command = [SURVIVAL.name, str(tmp_path / "rows.xlsx"), str(tmp_path / "out"), "--models"]
    with pytest.raises(SourceError, match=r"rows\.xlsx: cannot be scored"):
        treeline("score", *command, str(models))
    command[1] = str(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="no Parquet there"):
        treeline("score", *command, str(models))


def test_a_pickle_is_opened_only_where_it_is_admitted(models: Path) -> None:
    signature = models / SURVIVAL.name / "signature.json"
    signature.write_text(signature.read_text().replace('"runtime": "onnx"', '"runtime": "pickle"'))
    with pytest.raises(ArtifactRejectedError, match="needs the pickle runtime"):
        scored(models, SURVIVAL, seedlings(1))
