"""What can be read in two ways is asked for, with both readings; what is no table is refused."""

import pytest

from treeline.drafting.columns import read_columns
from treeline.drafting.hints import Hints
from treeline.drafting.sheets import read_sheet
from treeline.errors import DataError

NUMBERS = [str(n) for n in range(40)]

FILES: dict[str, tuple[bytes, list[str]]] = {
    "empty": (b" \n", ["it is empty"]),
    "a header alone": (b"a,b\n", ["no rows below the header"]),
    "a spreadsheet": (b"PK\x03\x04rest", ["a spreadsheet or a zip file; save the table as CSV"]),
    "two delimiters": (b"a;b,c\n1;2,3\n4;5,6\n", ["--delimiter ',' reads 2", "--delimiter ';'"]),
    "one column": (b"a\n1\n2\n", ["one column only", "--delimiter"]),
    "a row too long": (b"a,b\n1,2\n3,4,5\n6,7\n8,9\n", ["row 3 has 3", "2 fields"]),
    "no header": (b"5.1,3.5\n4.9,3.0\n", ["no header", "first line with the names"]),
    "a tilde of Spain, or of Poland": (
        "name,age\nMuñoz,31\n".encode("cp1252"),
        ["--encoding cp1252 reads 'Muñoz,31'", "--encoding cp1250 reads 'Muńoz,31'"],
    ),
    "Cyrillic": ("город,x\nпиш,3\n".encode("cp1251"), ["--encoding cp1251 reads 'город,x'"]),
    "an encoding by mistake": (b"a,b\n1,2\n", []),
}

VALUES: dict[str, tuple[dict[str, list[str]], list[str]]] = {
    "a point in front of three digits": (
        {"price": ["1.234", "5.678"]},
        ["'price'", "--decimal point reads 1.234", "--decimal comma reads 1234"],
    ),
    "a comma in front of three digits": (
        {"price": ["1,234", "12"]},
        ["--decimal point reads 1234", "--decimal comma reads 1.234"],
    ),
    "other columns that disagree": (
        {"a": ["1,5"], "b": ["1.5"], "price": ["1.234"]},
        ["'price'", "--decimal"],
    ),
    "both marks in a column": ({"x": ["1,5", "1.5"]}, ["both decimal marks", "--leave-out 'x'"]),
    "-999 far from the rest": (
        {"x": ["1", "2", "3", "4", "-999", "-999"]},
        ["-999 stands in 2 rows", "--missing=-999", "--values=-999"],
    ),
    "999 far from the rest": ({"age": [*NUMBERS, "999", "999"]}, ["--missing=999"]),
    "NA among codes": (
        {"land": ["DE", "FR", "IT", "NA"]},
        ["--values NA reads a code", "--missing NA reads no value"],
    ),
    "a second header": (
        {"X1": ["ID", *NUMBERS], "X2": ["AGE", *NUMBERS]},
        ["('ID', 'AGE')", "a second header, or units"],
    ),
    "a word among numbers": ({"x": [*NUMBERS, ">100"]}, ["'>100' (1 rows)", "--missing '>100'"]),
}


@pytest.mark.parametrize(("payload", "said"), FILES.values(), ids=FILES)
def test_a_file_that_is_no_table_or_is_two(payload: bytes, said: list[str]) -> None:
    hints = Hints() if said else Hints(encoding="klingon")
    with pytest.raises(DataError) as refusal:
        read_sheet(payload, hints)
    for words in said or ["--encoding klingon: not known"]:
        assert words in str(refusal.value)


def test_a_delimiter_of_two_characters_is_none() -> None:
    with pytest.raises(DataError, match="--delimiter '::': give one character"):
        read_sheet(b"a::b\n1::2\n", Hints(delimiter="::"))


@pytest.mark.parametrize(("columns", "said"), VALUES.values(), ids=VALUES)
def test_a_column_that_can_be_read_in_two_ways(
    columns: dict[str, list[str]], said: list[str]
) -> None:
    with pytest.raises(DataError) as refusal:
        read_columns(columns, Hints())
    for words in said:
        assert words in str(refusal.value)


def test_a_word_that_nothing_says_is_a_mistake() -> None:
    with pytest.raises(DataError, match="--missing '-9': no field of the table says so"):
        read_columns({"x": ["1", "2"]}, Hints(missing=("-9",)))

    with pytest.raises(DataError, match="--fold-case 'y': the table has no such column"):
        read_columns({"x": ["1", "2"]}, Hints(fold_case=("y",)))


def test_a_column_that_is_left_out_need_not_be_readable() -> None:
    [column] = read_columns({"x": ["1,5", "1.5"]}, Hints(leave_out=("x",)))
    assert list(column.values) == ["1,5", "1.5"]
