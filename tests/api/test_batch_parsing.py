"""Reading CSV by columns gives the same as reading it record by record, whatever it says."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.errors import MalformedBodyError
from api.formats.csv import CsvColumns, CsvRecords, lines
from api.formats.cutting import Cutter
from api.formats.json import JsonCutter
from api.formats.rows import Contract
from tests.tiny_models import SURVIVAL, describe
from treeline.contract.encoding import Encoder

SIGNATURE = describe(SURVIVAL, scores=[0.5, 0.5], payload=b"")
CONTRACT = Contract(SIGNATURE, Encoder(SIGNATURE.features))
NAMES = tuple(SIGNATURE.features)

NUMBERS = st.one_of(
    st.floats().map(repr),
    st.floats(0, 1).map(repr),
    st.floats(width=32).map(lambda value: f"{value:.17f}"),
    st.integers(-(10**20), 10**20).map(str),
    st.integers(0, 100).map(lambda value: f"{value}.0"),
    st.from_regex(r"[-+]?\d{0,20}\.?\d{0,24}(e-?\d{1,3})?", fullmatch=True),
    st.text("0123456789.-+ex/:\0 _", max_size=26),
)
TEXTS = st.sampled_from(
    ["", "true", "FALSE", "tRue", "1", "Acer saccharum", "Quercus alb", "xQuercus alba", "a,b", "ü"]
)
CATEGORIES = st.one_of(st.sampled_from(SIGNATURE.features["Species"].categories), TEXTS)
FIELDS = {"category": CATEGORIES, "boolean": TEXTS, "number": NUMBERS, "integer": NUMBERS}
ROWS = st.tuples(*(FIELDS[feature.type] for feature in SIGNATURE.features.values()))


def as_csv(rows: Sequence[tuple[str, ...]], *, quoted: bool) -> bytes:
    mark = '"' if quoted else ""
    return "".join(",".join(f"{mark}{text}{mark}" for text in row) + "\n" for row in rows).encode()


def compared(chunk: bytes) -> None:
    by_column = CsvColumns(CONTRACT, NAMES).read(chunk, first=2)
    by_record = CsvRecords(CONTRACT, NAMES).read(chunk, first=2)
    assert by_column.numbers.tolist() == by_record.numbers.tolist()
    assert by_column.bad == by_record.bad
    good = [row for row in range(len(by_record.numbers)) if row not in by_record.bad]
    np.testing.assert_array_equal(by_column.matrix[good], by_record.matrix[good])


@settings(max_examples=300, deadline=None)
@given(st.lists(ROWS, max_size=6), st.booleans())
def test_columns_and_records_read_the_same(rows: list[tuple[str, ...]], quoted: bool) -> None:
    compared(as_csv(rows, quoted=quoted))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1).map(repr) | NUMBERS, min_size=1, max_size=50))
def test_numbers_are_the_nearest_there_are(texts: list[str]) -> None:
    compared(
        as_csv([("Quercus alba", text, "", text, "4", "true") for text in texts], quoted=False)
    )


def test_numbers_halfway_between_two_of_float32_are_rounded_as_the_double_is() -> None:
    """What is known to two units in the last place only could go the other way."""
    some = np.random.default_rng(1).uniform(0.01, 1, 2000).astype(np.float32)
    halves = (some.astype(np.float64) + np.nextafter(some, 2).astype(np.float64)) / 2
    texts = [f"{value + step:.19f}" for value in halves for step in (-1e-17, 0, 1e-17)]
    compared(as_csv([("Quercus alba", text, "", "", "4", "true") for text in texts], quoted=False))


ROUNDED = st.floats(0, 1).map(lambda value: f"{value:.3f}")
SEPARATORS = st.sampled_from(["\n", "\r\n"])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(ROUNDED, max_size=3), max_size=3), NUMBERS | ROUNDED, SEPARATORS)
def test_one_odd_field_changes_none_beside_it(
    plain: list[list[str]], odd: str, separator: str
) -> None:
    """Numbers are computed block by block, and a long or odd one has its block go another way."""
    texts = [text for texts in plain for text in [*texts, odd]]
    many = [*texts, *[f"{number / 1000}" for number in range(999)], odd]
    rows = [("Quercus alba", text, "", text, "4", "true") for text in many]
    compared(as_csv(rows, quoted=False).replace(b"\n", separator.encode()))
    whole = CsvColumns(CONTRACT, NAMES).read(as_csv(rows, quoted=False), first=1)
    for at in {0, len(rows) // 2, len(rows) - 1}:
        alone = CsvColumns(CONTRACT, NAMES).read(as_csv([rows[at]], quoted=False), first=1)
        assert (at in whole.bad) == bool(alone.bad)
        assert at in whole.bad or whole.matrix[at].tobytes() == alone.matrix[0].tobytes()


@pytest.mark.parametrize(
    "text",
    [
        "1.",
        ".5",
        "+1",
        "1_0",
        "007",
        "-0.0",
        "-0",
        "-",
        ".",
        "-.",
        "1..2",
        "1.2.3",
        "12345678",
        "123456789",
        "0.1234567",
        "-0.123456",
        "1234567.",
        "-1234567",
        "5-3",
        "1/2",
        ".1/",
        "1e0",
        "1e400",
        "4.9e-324",
        "1e-46",
        "0.9999999999999999999999",
        "12345678901234567890123456789",
        "nan",
        "inf",
        " 1",
        "1 ",
        "\0",
        "1\0",
        "\0.5",
        "0x1",
        "1e",
        "٣",
        "0.30000001192092896",
    ],
)
def test_numbers_in_every_spelling_are_read_as_they_are_by_record(text: str) -> None:
    row = ("Quercus alba", text, "", text, "4", "true")
    usual = ("Quercus alba", "0.5", "", "0.25", "4", "true")
    for rows in ([row], [usual, row, usual], [row] * 3):
        compared(as_csv(rows, quoted=False))
        compared(as_csv(rows, quoted=False)[:-1])


@given(
    st.lists(st.text('ab",\n', max_size=8), max_size=20),
    st.integers(1, 7),
    st.integers(2, 30),
    st.integers(1, 4),
)
def test_cut_anywhere_the_rows_stay_whole(
    texts: list[str], step: int, chunk_bytes: int, most_rows: int
) -> None:
    rows = ['"' + text.replace('"', '""') + '"\n' for text in texts]
    whole = "".join(rows).encode()
    cutter = Cutter(chunk_bytes=chunk_bytes, row_bytes=1000, most_rows=most_rows, quoting=True)
    chunks: list[Any] = []
    for start in range(0, len(whole), step):
        chunks += cutter.feed(whole[start : start + step])
    chunks += cutter.rest()
    assert b"".join(chunk for _, chunk in chunks) == whole
    ends = {len("".join(rows[:count]).encode()) for count in range(len(rows) + 1)}
    reached = 0
    for row, chunk in chunks:
        assert row == 1 + sum(1 for end in ends if 0 < end <= reached)
        reached += len(chunk)
        assert reached in ends
        assert sum(1 for end in ends if reached - len(chunk) < end <= reached) <= most_rows


ELEMENTS = st.recursive(
    st.none() | st.floats(allow_nan=False) | st.text('a"\\,[]{}\n', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('k"\\]'), inner, max_size=2)
    ),
    max_leaves=8,
)


@given(st.lists(ELEMENTS, max_size=12), st.integers(1, 7), st.integers(1, 30), st.integers(1, 4))
def test_a_list_of_json_is_cut_between_its_elements_wherever_pieces_end(
    elements: list[Any], step: int, chunk_bytes: int, most_rows: int
) -> None:
    body = json.dumps(elements).encode()[1:] + b" \n"
    cutter = JsonCutter(chunk_bytes=chunk_bytes, row_bytes=1000, most_rows=most_rows)
    chunks: list[tuple[int, bytes]] = []
    for start in range(0, len(body), step):
        chunks += cutter.feed(body[start : start + step])
    chunks += cutter.rest()
    read: list[Any] = []
    for first, chunk in chunks:
        assert first == len(read) + 1
        found = json.loads(b"[%b]" % chunk)
        assert 0 < len(found) <= most_rows
        read += found
    assert read == elements


@pytest.mark.parametrize("body", [b"1,2", b"1}", b"1]2", b"1]]", b"[1,]".lstrip(b"["), b'"]', b""])
def test_what_is_no_list_of_json_is_refused(body: bytes) -> None:
    cutter = JsonCutter(chunk_bytes=1, row_bytes=100, most_rows=10)
    with pytest.raises(MalformedBodyError, match="is not JSON"):
        [*cutter.feed(body), *cutter.rest()]


def test_an_element_that_does_not_end_ends_the_batch_before_memory_does() -> None:
    cutter = JsonCutter(chunk_bytes=100, row_bytes=1000, most_rows=10)
    with pytest.raises(MalformedBodyError, match="longer than 1000 bytes"):
        for piece in [b'{"a":"', *[b"x" * 90] * 100]:
            list(cutter.feed(piece))


def test_a_quote_left_open_ends_the_batch_before_memory_does() -> None:
    cutter = Cutter(chunk_bytes=100, row_bytes=1000, most_rows=100, quoting=True)
    with pytest.raises(MalformedBodyError, match=r"row 2: .*is a quote left open"):
        for piece in [b"a\n" + b'"b' * 41, *[b"\n" * 90] * 100]:
            list(cutter.feed(piece))


LINES_OF_ROWS = st.sampled_from(
    ["", "\r", " ", "1", '"a\nb"', '"\n\n"', '"a""b"', "x,y", "{}", "{ }", "\t"]
)


@given(
    st.lists(LINES_OF_ROWS, max_size=20),
    st.booleans(),
    st.booleans(),
    st.integers(1, 7),
    st.integers(2, 30),
)
def test_the_rows_of_chunks_have_the_numbers_that_they_have_in_the_whole(
    texts: list[str], quoting: bool, ended: bool, step: int, chunk_bytes: int
) -> None:
    whole = "\n".join(texts).encode() + (b"\n" if ended and texts else b"")
    cutter = Cutter(chunk_bytes=chunk_bytes, row_bytes=1000, most_rows=4, quoting=quoting)
    chunks: list[tuple[int, bytes]] = []
    for start in range(0, len(whole), step):
        chunks += cutter.feed(whole[start : start + step])
    chunks += cutter.rest()

    def numbers(first: int, chunk: bytes) -> list[int]:
        if quoting:
            return [number for number, _ in lines(chunk.decode(), first=first)]
        return [first + at for at in range(sum(1 for each in chunk.split(b"\n") if each.strip()))]

    found = [number for first, chunk in chunks for number in numbers(first, chunk)]
    assert found == numbers(1, whole) == list(range(1, len(found) + 1))
