"""Every door says the same of the same value: the same code, or the same words at the same field.

The table of doors and values is complete; what differs is declared with its reason.
"""

import re
from collections.abc import Iterator
from html import unescape

import pytest

from api.pages.rendering import field
from tests.contract.differences import DIFFERENCES
from tests.contract.doors import EXAMPLE, FEATURES, Doors, Outcome
from tests.contract.values import of_float, of_text, of_truth, values

REFERENCES = ("/v1/predict", "batch, Parquet", "/v2, binary")  # the first that can be told a value

Table = dict[tuple[str, str], dict[str, Outcome]]


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Doors:
    return Doors(tmp_path_factory.mktemp("doors"))


@pytest.fixture(scope="module")
def table(doors: Doors) -> Table:
    """What every door says of every value of every feature."""
    return {
        (name, label): {
            door: outcome
            for door in doors.all
            if (outcome := doors.outcome(door, name, given)) is not None
        }
        for name in FEATURES
        for label, given in values(name).items()
    }


def disagreements(table: Table) -> Iterator[tuple[str, tuple[str, str], str, str]]:
    """Yield door, feature and value, outcome and what is expected, where the two are not one."""
    for case, outcomes in table.items():
        expected = next(str(outcomes[door]) for door in REFERENCES if door in outcomes)
        for door, outcome in outcomes.items():
            if str(outcome) != expected:
                yield door, case, str(outcome), expected


def test_every_door_says_the_same_or_the_difference_is_declared(table: Table) -> None:
    undeclared = [
        f"{door}, {case}: {outcome}; expected is {expected}"
        for door, case, outcome, expected in disagreements(table)
        if not any(each.covers(door, case, outcome, expected) for each in DIFFERENCES)
    ]
    assert undeclared == []


def test_every_declared_difference_is_there(table: Table) -> None:
    seen = {
        each.reason for found in disagreements(table) for each in DIFFERENCES if each.covers(*found)
    }
    assert [each.reason for each in DIFFERENCES if each.reason not in seen] == []


@pytest.mark.parametrize(
    "label",
    [
        *("2^24 + 1", "2^24 + 1 as a float", "decimal 2^24 + 1", "2^53 - 1", "2^53", "2^53 + 1"),
        *("2^60", "2^60 as a float", "decimal 2^60"),
    ],
)
def test_no_door_admits_an_integer_that_cannot_be_told_from_its_neighbour(
    table: Table, label: str
) -> None:
    for outcome in table["integer", label].values():
        assert "at most 16777216 in size" in outcome.words


def test_every_door_admits_the_largest_integer_that_float32_tells_apart(table: Table) -> None:
    assert {outcome.code for outcome in table["integer", "2^24"].values()} == {2.0**24}


@pytest.mark.parametrize(
    ("name", "label", "code"),
    [
        ("number", "decimal 0.50", 0.5),
        ("integer", "decimal 4", 4.0),
        ("number", "float16 0.5", 0.5),
        ("integer", "dictionary of 4", 4.0),
        ("share", "dictionary of 0.5", 0.5),
        ("boolean", "dictionary of true", 1.0),
        ("category", "dictionary of oak", 0.0),
        ("integer", "unsigned 4", 4.0),
        ("integer", "1.0", 1.0),
    ],
)
def test_values_that_fit_are_admitted_in_any_type_that_holds_them(
    table: Table, name: str, label: str, code: float
) -> None:
    assert {door: outcome.code for door, outcome in table[name, label].items()} == dict.fromkeys(
        table[name, label], code
    )


@pytest.mark.parametrize("label", ["leading space", "trailing space", "other case", "decomposed"])
def test_no_door_takes_another_text_for_a_category(table: Table, label: str) -> None:
    for outcome in table["category", label].values():
        assert outcome.words.endswith(" is not admitted; give one of oak, Tilia cordata, Hêtre, 1")


@pytest.mark.parametrize("name", FEATURES)
def test_the_form_of_the_page_offers_what_the_record_admits(doors: Doors, name: str) -> None:
    feature = FEATURES[name]
    page = unescape(field(name, feature, EXAMPLE[name]))
    assert f'name="{name}" data-type="{feature.type}"' in page
    offered = re.findall(r'<option value="([^"]*)"', page)
    assert ("" in offered) == (feature.optional and bool(offered))
    texts = [text for text in offered if text]  # the page sends no empty one
    read = of_truth if feature.type == "boolean" else of_text
    for text in texts:
        sent = read(text == "true" if feature.type == "boolean" else text)
        assert doors.outcome("/v1/predict", name, sent) == Outcome(
            code=feature.kind.spellings(feature)[text]
        )
    limits = {side: float(bound) for side, bound in re.findall(r' (min|max)="([^"]*)"', page)}
    for side, bound in limits.items():
        on_it = doors.outcome("/v1/predict", name, of_float(bound))
        assert on_it == Outcome(code=bound)
        beyond = doors.outcome("/v1/predict", name, of_float(bound + {"min": -1, "max": 1}[side]))
        assert beyond is not None and "is not admitted" in beyond.words
