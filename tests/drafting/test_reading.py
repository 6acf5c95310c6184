"""Tables in all their bad habits are read as they are meant, and it is said what was read as what.

Each case is a small file: its bytes, the columns that come of it, and what is said of it.
"""

from collections.abc import Mapping, Sequence

import pytest

from treeline.drafting.columns import read_columns
from treeline.drafting.hints import Hints
from treeline.drafting.sheets import read_sheet

PLAIN = b"name,age\nann,31\nbob,42\n"
NAMES = {"name": ["ann", "bob"], "age": ["31", "42"]}

Columns = Mapping[str, Sequence[str]]

FILES: dict[str, tuple[bytes, Columns, str]] = {
    "plain": (PLAIN, NAMES, ""),
    "no line end at the end": (PLAIN.rstrip(), NAMES, ""),
    "line ends of Windows": (PLAIN.replace(b"\n", b"\r\n"), NAMES, ""),
    "line ends of old Macs": (PLAIN.replace(b"\n", b"\r"), NAMES, ""),
    "blank lines between rows": (PLAIN.replace(b"\n", b"\n\n"), NAMES, ""),
    "rows of delimiters": (PLAIN + b",\n,\n", NAMES, ""),
    "a byte order mark": (b"\xef\xbb\xbf" + PLAIN, NAMES, "UTF-8, as its byte order mark says"),
    "UTF-16": (PLAIN.decode().encode("utf-16"), NAMES, "UTF-16"),
    "UTF-16 without a mark": (PLAIN.decode().encode("utf-16-le"), NAMES, "by its zero bytes"),
    "umlauts of Windows": (
        "name,age\nJürgen,31\nbob,42\n".encode("cp1252"),
        {"name": ["Jürgen", "bob"], "age": ["31", "42"]},
        "the encoding is cp1252, not UTF-8: 'Jürgen,31'",
    ),
    "accents in two characters": (
        "name,age\nRene\u0301,31\nbob,42\n".encode(),
        {"name": ["René", "bob"], "age": ["31", "42"]},
        "",
    ),
    "semicolons": (PLAIN.replace(b",", b";"), NAMES, "separated by a semicolon"),
    "tabs": (PLAIN.replace(b",", b"\t"), NAMES, "separated by a tab"),
    "bars": (PLAIN.replace(b",", b"|"), NAMES, "separated by a bar"),
    "aligned by spaces": (b"name   age\nann     31\nbob     42\n", NAMES, "separated by a space"),
    "a first line sep=;": (b"sep=;\n" + PLAIN.replace(b",", b";"), NAMES, "a semicolon"),
    "everything quoted": (b'"name","age"\n"ann","31"\n"bob","42"\n', NAMES, ""),
    "single quotes": (b"'name','age'\n'ann','31'\n'bob','42'\n", NAMES, "quoted by '"),
    "delimiters and line ends in quotes": (
        b'name,age\n"ann, ""the\nfirst""",31\nbob,42\n',
        {"name": ['ann, "the\nfirst"', "bob"], "age": ["31", "42"]},
        "",
    ),
    "a delimiter at the end of each row": (
        b"name,age\nann,31,\nbob,42,\n",
        NAMES,
        "a delimiter at the end of each row is left out",
    ),
    "delimiters at the end of all lines": (
        b"name,age,\nann,31,\nbob,42,\n",
        NAMES,
        "a delimiter at the end of each row is left out",
    ),
    "titles above the header": (
        b"Staff of 2024\nprinted today,\nname,age\nann,31\nbob,42\n",
        NAMES,
        "2 line(s) above the header are left out: 'Staff of 2024'",
    ),
    "names of rows without a header, as of R": (
        b'"name","age"\n"1","ann",31\n"2","bob",42\n',
        {"unnamed_1": ["1", "2"], **NAMES},
        "one name less",
    ),
    "an index without a name, as of pandas": (
        b",name,age\n0,ann,31\n1,bob,42\n",
        {"unnamed_1": ["0", "1"], **NAMES},
        "column 1, '', is called 'unnamed_1'",
    ),
    "one name twice": (
        b"age,age\n31,1\n42,2\n",
        {"age": ["31", "42"], "age_2": ["1", "2"]},
        "column 2, 'age', is called 'age_2'",
    ),
    "a name on two lines": (
        b'name,"age\n(years)"\nann,31\n',
        {"name": ["ann"], "age (years)": ["31"]},
        "is called 'age (years)'",
    ),
    "spaces around values": (b"name , age\n ann ,31 \nbob,42\n", NAMES, "spaces around values"),
    "files that were joined": (
        PLAIN + b"name,age\ncat,50\n",
        {"name": ["ann", "bob", "cat"], "age": ["31", "42", "50"]},
        "1 row(s) repeat the header",
    ),
}

VALUES: dict[str, tuple[list[str], Sequence[str | None], str]] = {
    "decimal commas": (["1,5", "12,25", "0,125"], ["1.5", "12.25", "0.125"], "number"),
    "decimal points": (["1.5", "12.25", "0.125"], ["1.5", "12.25", "0.125"], "number"),
    "thousands by commas": (["1,234.50", "12.00"], ["1234.50", "12.00"], "number"),
    "thousands by points": (["1.234,50", "12,00"], ["1234.50", "12.00"], "number"),
    "millions tell thousands": (["1,234,567", "1,234"], ["1234567", "1234"], "integer"),
    "lakhs of India": (["46,59,256", "2,59,256"], ["4659256", "259256"], "integer"),
    "thousands by spaces": (["1 234,5", "12,5"], ["1234.5", "12.5"], "number"),
    "thousands by narrow spaces": (["1\u202f234", "12"], ["1234", "12"], "integer"),
    "thousands by apostrophes": (["1'234.5", "12.5"], ["1234.5", "12.5"], "number"),
    "1234 beside 1.234": (["1234", "1.234"], ["1234", "1.234"], "number"),
    "exponents": (["1e-3", "2.5E+2"], ["1e-3", "2.5E+2"], "number"),
    "a true minus": (["\u22125", "3"], ["-5", "3"], "integer"),
    "brackets of accounts": (["(1,250.00)", "300.00"], ["-1250.00", "300.00"], "number"),
    "percent": (["12 %", "7.5%"], ["12", "7.5"], "number"),
    "money": (["$1,200.50", "-$3.25"], ["1200.50", "-3.25"], "number"),
    "units": (["12 kg", "7 kg"], ["12", "7"], "integer"),
    "two units are words": (["12 kg", "300 g"], ["12 kg", "300 g"], "words"),
    "leading zeros are codes": (["007", "12"], ["007", "12"], "words"),
    "codes of one letter": (["A1", "A2"], ["A1", "A2"], "words"),
    "whole numbers with .0": (["1.0", "2.0"], ["1.0", "2.0"], "integer"),
    "numbers beyond 2^24": (["16777217", "5"], ["16777217", "5"], "number"),
    "words for nothing": (
        ["5", "NA", "n/a", "#N/A", "NULL", "7"],
        ["5", *[None] * 4, "7"],
        "integer",
    ),
    "dashes among numbers": (["5", "-", "?", ".", "7"], ["5", None, None, None, "7"], "integer"),
    "unknown among numbers": (["5", "unknown", "7"], ["5", None, "7"], "integer"),
    "unknown among words": (["a", "unknown", "?"], ["a", "unknown", None], "words"),
    "infinity is none": (["5", "inf", "7"], ["5", None, "7"], "integer"),
    "truths": (["TRUE", "False"], ["true", "false"], "boolean"),
    "dates of ISO": (["2024-05-01", "2024-12-31"], ["2024-05-01", "2024-12-31"], "time"),
    "dates without marks": (["20240501", "20241231"], ["2024-05-01", "2024-12-31"], "time"),
    "dates by dots": (["1.5.2024", "2.5.2024"], ["2024-05-01", "2024-05-02"], "time"),
    "dates, day first": (["01/05/2024", "31/12/2024"], ["2024-05-01", "2024-12-31"], "time"),
    "dates, month first": (["05/01/2024", "12/31/2024"], ["2024-05-01", "2024-12-31"], "time"),
    "dates in two readings": (["01/05/2024", "02/06/2024"], ["01/05/2024", "02/06/2024"], "time"),
    "times of day": (["08:30", "17:05"], ["08:30", "17:05"], "time"),
    "dates with times": (
        ["2024-05-01 8:30", "2024-05-02 17:05"],
        ["2024-05-01T08:30", "2024-05-02T17:05"],
        "time",
    ),
    "hours of two halves": (
        ["05/28/2024 12:05:00 AM", "05/28/2024 1:35:00 pm"],
        ["2024-05-28T00:05:00", "2024-05-28T13:35:00"],
        "time",
    ),
    "dates in words": (["5 May 2024", "Jun 6, 2024"], ["5 May 2024", "Jun 6, 2024"], "time"),
    "versions are words": (["1.2.3", "1.10.0"], ["1.2.3", "1.10.0"], "words"),
    "nothing": (["", "NA"], [None, None], "nothing"),
}


@pytest.mark.parametrize(("payload", "expected", "said"), FILES.values(), ids=FILES)
def test_a_file_is_read_as_it_is_meant(payload: bytes, expected: Columns, said: str) -> None:
    sheet = read_sheet(payload, Hints())
    assert sheet.columns == expected
    assert said in "\n".join(sheet.notes)


@pytest.mark.parametrize(("texts", "expected", "holds"), VALUES.values(), ids=VALUES)
def test_values_are_read_as_they_are_meant(
    texts: list[str], expected: Sequence[str | None], holds: str
) -> None:
    [column] = read_columns({"x": texts}, Hints())
    assert list(column.values.astype(object).where(column.values.notna(), None)) == list(expected)
    assert column.holds == holds
    assert column.n_missing == list(expected).count(None)


def test_other_columns_tell_what_a_point_is() -> None:
    columns = {"sum": ["1.234", "5.678"], "share": ["0,5", "0,25"]}
    assert list(read_columns(columns, Hints())[0].values) == ["1234", "5678"]
    columns = {"sum": ["1.234", "5.678"], "share": ["0.5", "0.25"]}
    assert list(read_columns(columns, Hints())[0].values) == ["1.234", "5.678"]


def test_a_person_tells_what_the_file_does_not() -> None:
    texts = {"sum": ["1.234", "5.678", "-999"], "land": ["DE", "FR", "NA"]}
    hints = Hints(decimal="comma", missing=("-999",), values=("NA",))
    sums, land = read_columns(texts, hints)
    assert [*sums.values[:2]] == ["1234", "5678"] and sums.n_missing == 1
    assert list(land.values) == ["DE", "FR", "NA"]
    assert read_sheet("a,b\nñ,1\n".encode("cp1252"), Hints(encoding="cp1252")).columns["a"] == ["ñ"]


def test_words_that_differ_in_case_are_one_where_a_person_says_so() -> None:
    texts = {"x": ["Yes", "yes", "Yes", "NO"]}
    [column] = read_columns(texts, Hints())
    assert "--fold-case 'x'" in column.note
    [column] = read_columns(texts, Hints(fold_case=("x",)))
    assert list(column.values) == ["Yes", "Yes", "Yes", "NO"] and column.note == ""
    assert column.counts == {"Yes": 3, "NO": 1} and column.respelt == ("yes", "Yes")
