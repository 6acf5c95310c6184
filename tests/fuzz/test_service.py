"""A short run of what `make fuzz` does for an hour: no body harms the service."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz import reporting
from tests.fuzz.cases import case_of
from tests.fuzz.formats import FORMATS
from tests.fuzz.oracle import Bounds
from tests.fuzz.running import Run
from tests.fuzz.target import Target, fuzzed

pytestmark = pytest.mark.xdist_group("fuzz")

SECONDS = 900  # at most: on a quiet machine it takes some fifteen
CASES = 6  # of each format: half of them from its table
# Tests run beside this one, on machines of any kind: ten times what a quiet one keeps.
BOUNDS = Bounds(seconds=60, hold_seconds=0.2)
SEEDS = 3  # of each format: a trial of an upload takes a second


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with fuzzed(tmp_path_factory.mktemp("fuzzed")) as target:
        yield target


def test_no_body_harms_the_service(tmp_path: Path) -> None:
    run = Run([make() for make in FORMATS.values()], seed=0, bounds=BOUNDS)
    run.choose(CASES)
    assert [reporting.line(each) for each in run.findings(SECONDS, tmp_path)] == []
    assert {name: tally.cases for name, tally in run.tallies.items()} == dict.fromkeys(
        FORMATS, CASES
    )


@pytest.mark.parametrize("name", FORMATS)
def test_a_case_is_the_same_each_time(name: str) -> None:
    kind, other = FORMATS[name](), FORMATS[name]()
    numbers = range(len(kind.hostile), len(kind.hostile) + 12)
    made = [case_of(kind, seed=7, number=number) for number in numbers]
    assert made == [case_of(other, seed=7, number=number) for number in numbers]
    assert len({case.payload for case in made}) > 6


@pytest.mark.parametrize("name", FORMATS)
def test_the_seeds_are_well_formed(target: Target, name: str) -> None:
    kind = FORMATS[name]()
    for sample in kind.seeds[:SEEDS]:
        answer = target.ask(kind.sent(sample.whole()))
        assert answer.status in (200, 201, 202), (sample.name, answer)
