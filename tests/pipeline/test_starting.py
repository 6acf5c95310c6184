"""`python -m treeline.stages STAGE MODEL`: what it says when it cannot start."""

import pytest

from tests.checkout import Checkout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "usage: python -m treeline.stages {collect|prepare|train|evaluate|gate|export} MODEL"),
        (("collect", "roses"), "models.roses: not declared; declared are flowers, sugar"),
        (("colect", "sugar"), "'colect' is not known; choose from ['collect', 'evaluate'"),
    ],
    ids=["nothing is named", "an undeclared model", "an unknown stage"],
)
def test_a_stage_that_cannot_start_says_why(
    fresh: Checkout, arguments: tuple[str, ...], told: str
) -> None:
    done = fresh.python("-m", "treeline.stages", *arguments, good=False)
    assert told in done.stderr
    assert "Traceback" not in done.stderr
