"""Texts that are joined as arrays are the ones that joining them row by row gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from api.formats.answers import Answered, CsvForm, Form, JsonForm, ListForm
from api.formats.cells import WIDE_BYTES, Cells, chosen, constant, joined, listed, numbered
from tests.tiny_models import SURVIVAL, describe

TEXTS = st.binary(max_size=12) | st.binary(min_size=60, max_size=70)
COUNT = 5
COLUMNS = st.one_of(
    st.binary(min_size=1, max_size=9).map(lambda text: ([text] * COUNT, constant(text))),
    st.lists(TEXTS, min_size=COUNT, max_size=COUNT).map(lambda texts: (texts, listed(texts))),
    st.tuples(
        st.lists(TEXTS, min_size=1, max_size=4),
        st.lists(st.integers(0, 3), min_size=COUNT, max_size=COUNT),
    ).map(lambda drawn: picked(*drawn)),
    st.lists(st.floats(), min_size=COUNT, max_size=COUNT).map(
        lambda numbers: ([to_json(each) for each in numbers], numbered(np.array(numbers)))
    ),
)


def picked(texts: list[bytes], drawn: list[int]) -> tuple[list[bytes], Cells]:
    positions = [each % len(texts) for each in drawn]
    return [texts[each] for each in positions], chosen(texts, np.array(positions))


@given(st.lists(COLUMNS, min_size=1, max_size=6), st.sampled_from([b"", b"x" * WIDE_BYTES]))
def test_rows_have_the_texts_of_their_columns(
    columns: list[tuple[list[bytes], Cells]], wide: bytes
) -> None:
    if wide:
        columns = [*columns, ([wide] * COUNT, constant(wide))]
    rows = [b"".join(texts) for texts in zip(*(each[0] for each in columns), strict=True)]
    found = joined([each[1] for each in columns], COUNT)
    assert found.text == b"".join(rows)
    for first in range(COUNT):
        for stop in range(first, COUNT + 1):
            assert found.between(first, stop) == b"".join(rows[first:stop])


@pytest.mark.parametrize("form", [CsvForm, JsonForm, ListForm])
@pytest.mark.parametrize("bad", [set(), {0}, {1, 2, 9_999}, {19_999}, set(range(20_000))])
def test_a_part_of_many_blocks_is_the_same_as_its_rows_by_themselves(
    form: type[Form], bad: set[int]
) -> None:
    """Each row says its own label, probability and number, whatever stands beside it."""
    count = 20_000
    random = np.random.default_rng(0)
    signature = describe(SURVIVAL, scores=[0.5, 0.5], payload=b"")
    labels = random.integers(0, 2, count)
    shares = random.uniform(0, 1, count).astype(np.float32) ** random.integers(1, 20, count)
    writer = form(signature, batch_id="batch", reporting=True)
    good = np.array([at not in bad for at in range(count)])
    numbers = np.arange(95, 95 + count)
    reasons = {at: f"is bad, {at}" for at in sorted(bad)}
    whole = writer.written(
        Answered(labels[good], None, {"probability": shares[good]}), numbers, reasons
    )
    rows = []
    for at in random.choice(count, 300, replace=False).tolist():
        one = Answered(labels[[at]], None, {"probability": shares[[at]]})
        alone = writer.written(one, numbers[[at]], {}) if at not in bad else writer.bad(reasons[at])
        rows.append((at, alone))
    ends = np.flatnonzero(np.frombuffer(whole, dtype=np.uint8) == ord("\n")) + 1
    if form is ListForm:
        ends = np.flatnonzero(np.frombuffer(whole.replace(b"},", b"}\n"), np.uint8) == 10) + 1
    assert len(ends) == count
    for at, alone in rows:
        start = 0 if at == 0 else ends[at - 1]
        assert whole[start : ends[at]] == alone
