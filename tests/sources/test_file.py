"""A file under dataset/sources/file → tables: what is read, and how a bad file is told."""

import gzip
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.conftest import Project
from treeline.config.sources import FileSource
from treeline.errors import SourceError
from treeline.sources.files import FileTables
from treeline.stages.collect import collect
from treeline.tables import read_frame


def read(path: Path, **declared: Any) -> pd.DataFrame:
    """Return what the file source yields, whatever folder the file is in."""
    spec = FileSource(kind="file", path="dataset/sources/file/x.csv", **declared)
    tables = FileTables(spec.model_copy(update={"path": str(path)})).tables()
    return pa.concat_tables(tables).to_pandas()


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return tmp_path / "rows.csv"


def test_missing_values_are_those_declared(csv: Path) -> None:
    csv.write_text("a,b,c\n1,NA,x\nNaN,2.5,\n,?,y\n")
    frame = read(csv, missing=["", "NA", "NaN", "?"])
    assert frame.dtypes.astype("str").tolist() == ["str", "str", "str"]
    assert frame.isna().to_numpy().tolist() == [
        [False, True, False],
        [True, False, True],
        [True, True, False],
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_name(csv: Path) -> None:
    csv.write_bytes("\ufeffspecies,n\nChêne,1\n".encode())
    assert read(csv).to_dict("list") == {"species": ["Chêne"], "n": ["1"]}


def test_quotes_hold_commas_line_ends_and_quotes(csv: Path) -> None:
    csv.write_text('a,b\n"x, y","one\ntwo"\n"say ""tree""",z\n')
    assert read(csv).to_dict("list") == {"a": ["x, y", 'say "tree"'], "b": ["one\ntwo", "z"]}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("last", [True, False], ids=["ended", "not ended"])
def test_lines_end_in_any_way(csv: Path, end: str, last: bool) -> None:
    csv.write_bytes((end.join(["a,b", "1,x", "2,y"]) + end * last).encode())
    assert read(csv).to_dict("list") == {"a": ["1", "2"], "b": ["x", "y"]}


@pytest.mark.parametrize("delimiter", [";", "\t", "|"], ids=["semicolon", "tab", "bar"])
def test_columns_are_parted_as_declared(csv: Path, delimiter: str) -> None:
    csv.write_text(f"a{delimiter}b\n1{delimiter}0,5\n")
    assert read(csv, delimiter=delimiter).to_dict("list") == {"a": ["1"], "b": ["0,5"]}


def test_values_are_texts_in_the_spelling_of_the_file(csv: Path) -> None:
    spelt = ["1.10", "007", "08:30", "true", "1e5", " 2", "0x1F", "2018-05-10"]
    csv.write_text("a,b\n" + "".join(f"{each},1\n" for each in spelt))
    assert read(csv).to_dict("list") == {"a": spelt, "b": ["1"] * len(spelt)}


def test_a_file_may_be_longer_than_a_block(csv: Path) -> None:
    csv.write_text("a,b\n" + "1,2\n" * 400_000 + "one,2.5\n")
    assert read(csv).iloc[[0, -1]].to_numpy().tolist() == [["1", "2"], ["one", "2.5"]]


def test_delimiters_at_the_ends_of_lines_make_no_columns(csv: Path) -> None:
    csv.write_text("a,b,,\n1,2,,\n,,,\n")
    assert read(csv).dropna().to_dict("list") == {"a": ["1"], "b": ["2"]}


@pytest.mark.parametrize("header", ["a,b,c", "c,b,a"], ids=["as declared", "reversed"])
def test_columns_keep_the_order_of_the_file(csv: Path, header: str) -> None:
    csv.write_text(f"{header}\n1,2,3\n")
    assert list(read(csv)) == header.split(",")


def test_a_header_alone_is_a_table_of_no_rows(csv: Path) -> None:
    csv.write_text("a,b\n")
    assert read(csv).shape == (0, 2)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "cannot be read as csv: Empty CSV file; correct or replace the file"),
        (b"a,b\n1,2\n3\n", "Row #3: Expected 2 columns, got 1: 3"),
        (b"a,b\n1,2\n3,4,5\n", "Row #3: Expected 2 columns, got 3: 3,4,5"),
        ("a,b\n1,é\n".encode("latin-1"), "column 'b' is not UTF-8; save the file as UTF-8"),
        ("a,é\n1,2\n".encode("latin-1"), "its header is not UTF-8; save the file as UTF-8"),
        ("a,b\n1,é\n".encode("utf-16"), "it is UTF-16; save it as CSV in UTF-8"),
        ("a,b\n1,é\n".encode("utf-16-le"), "it is UTF-16 or UTF-32; save it as CSV in UTF-8"),
        ("a,b\n1,é\n".encode("utf-32"), "it is UTF-32; save it as CSV in UTF-8"),
        (gzip.compress(b"a,b\n1,2\n"), "it is compressed by gzip; save it as CSV in UTF-8"),
        (b"PK\3\4 and the rest", "it is a spreadsheet or a zip file; save it as CSV in UTF-8"),
        (b"PAR1 and the rest", "it is Parquet; save it as CSV in UTF-8"),
        (b"a,b,a\n1,2,3\n", "it has the column 'a' twice; remove or rename one"),
        (b"a,,\n1,2,3\n", "it has the column '' twice; remove or rename one"),
    ],
    ids=[
        *("empty", "too short", "too long", "Latin-1", "header in Latin-1", "UTF-16"),
        *("UTF-16 without a mark", "UTF-32", "gzip", "zip", "Parquet", "twice", "no names"),
    ],
)
def test_a_file_that_is_no_table_is_told_with_its_path(
    csv: Path, content: bytes, told: str
) -> None:
    csv.write_bytes(content)
    with pytest.raises(SourceError) as error:
        read(csv)
    assert str(error.value).startswith(f"{csv}: ")
    assert told in str(error.value)


def test_a_delimiter_that_no_file_can_have_is_told(csv: Path) -> None:
    csv.write_text("a,b\n1,2\n")
    with pytest.raises(SourceError, match=r"rows\.csv: cannot be read as csv: .*ASCII"):
        read(csv, delimiter="→")


def test_a_file_that_is_not_there_is_told_with_the_way_out(project: Project) -> None:
    source = Path("dataset/sources/file/seedlings.csv")
    source.unlink()
    with pytest.raises(SourceError) as error:
        collect(project.spec, project.paths)
    assert str(error.value) == (
        f"{source}: not found; fetch it with `dvc pull {source}`, or bring it in with `make adopt`"
    )
    assert not project.paths.raw.exists()


@pytest.mark.parametrize("name", ["rows.xlsx", "rows"], ids=["spreadsheet", "no suffix"])
def test_a_format_that_is_not_read_is_told_beside_those_that_are(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match=f"{name}: .*; give a file that ends in .csv or .parquet"):
        read(tmp_path / name)


def test_parquet_is_read_as_it_is_typed(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": [1, 2], "x": [0.5, None], "s": ["a", None], "b": [True, False]})
    frame.to_parquet(tmp_path / "rows.parquet")
    pd.testing.assert_frame_equal(read(tmp_path / "rows.parquet"), frame)


def test_the_index_of_a_parquet_file_is_a_column_at_most(tmp_path: Path) -> None:
    frame = pd.DataFrame({"No": ["k", "l", "m"], "x": [1.0, 2.0, 3.0]}).set_index("No")
    frame.to_parquet(tmp_path / "rows.parquet")
    found = read(tmp_path / "rows.parquet")
    assert found.index.tolist() == [0, 1, 2]
    assert found["No"].tolist() == ["k", "l", "m"]


def test_parquet_of_no_rows_is_a_table_of_no_rows(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": pa.array([], pa.int64())}), tmp_path / "rows.parquet")
    assert read(tmp_path / "rows.parquet").shape == (0, 1)


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n"], ids=["empty", "a CSV"])
def test_what_is_no_parquet_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rows.parquet").write_bytes(content)
    with pytest.raises(SourceError, match=r"rows\.parquet: cannot be read as parquet: .*; correct"):
        read(tmp_path / "rows.parquet")


def test_a_source_is_collected_with_every_row_and_column_it_has(project: Project) -> None:
    assert collect(project.spec, project.paths) == "120 rows from file"
    assert list(read_frame(project.paths.raw)) == [
        *("Plot", "Species", "Light", "EMF", "Event", "Harvest")
    ]


def test_a_name_is_one_however_its_accents_are_written(project: Project) -> None:
    """Some systems write é as e and an accent; the declaration and the file may differ in that."""
    project.params.write_text(project.params.read_text().replace("EMF", "Émf"))
    file = project.root / "dataset" / "sources" / "file" / "seedlings.csv"
    file.write_text(normalize("NFD", file.read_text().replace("EMF", "Émf")))
    collect(project.spec, project.paths)
    assert normalize("NFC", "Émf") in read_frame(project.paths.raw)
    project.params.write_text(normalize("NFD", project.params.read_text()))
    assert normalize("NFC", "Émf") in project.spec.features


def test_a_parquet_file_with_two_columns_of_one_name_is_refused(project: Project) -> None:
    project.params.write_text(project.params.read_text().replace("seedlings.csv", "two.parquet"))
    table = pa.table([pa.array([1]), pa.array([2])], names=["é", normalize("NFD", "é")])
    parquet.write_table(table, project.root / "dataset" / "sources" / "file" / "two.parquet")
    with pytest.raises(SourceError, match="it has the column 'é' twice; remove or rename one"):
        collect(project.spec, project.paths)


def test_the_published_seedlings_are_read(real_seedlings: Path) -> None:
    frame = read(real_seedlings)
    assert frame.shape == (2783, 24)
    pd.testing.assert_frame_equal(frame, pd.read_csv(real_seedlings, dtype="str"))
    assert set(frame["Species"]) == {
        *("Acer saccharum", "Prunus serotina", "Quercus alba", "Quercus rubra")
    }
