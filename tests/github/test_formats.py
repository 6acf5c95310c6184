"""Outputs, matrices and texts as GitHub reads and writes them."""

import pytest

from tests.github.evaluator import StepError
from tests.github.formats import parse_values, rows, text_of


def test_outputs_may_have_several_lines() -> None:
    text = "one=1\ntwo<<END\na=b\nc\nEND\nthree=x=y\n"
    assert parse_values(text) == {"one": "1", "two": "a=b\nc", "three": "x=y"}


@pytest.mark.parametrize("text", ["two<<END\na\n", "no equals sign\n"])
def test_outputs_that_are_malformed_fail_the_step(text: str) -> None:
    with pytest.raises(StepError):
        parse_values(text)


def test_a_matrix_is_combined_excluded_and_included() -> None:
    matrix = {"os": ["a", "b"], "v": [1, 2], "exclude": [{"os": "b", "v": 2}],
              "include": [{"os": "a", "x": 1}, {"os": "c"}]}  # fmt: skip
    assert rows(matrix) == [
        {"os": "a", "v": 1, "x": 1},
        {"os": "a", "v": 2, "x": 1},
        {"os": "b", "v": 1},
        {"os": "c"},
    ]
    assert rows({}) == [{}]


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (True, "true"), (2.0, "2"), (["a"], '["a"]'), ("x", "x")]
)
def test_a_value_becomes_a_text(value: object, text: str) -> None:
    assert text_of(value) == text
