"""What asking the sources again shows of each model: why a training is due, or what keeps it."""

import pytest

from treeline.commands.stale import Sources
from treeline.delivery.notes import Failure
from treeline.delivery.refusals import Refusal

STAGES = ("digest", "prepare@trees", "train@trees", "prepare@big-trees")
NO_ANSWER = Failure("collect", "trees", "no answer")
BROKEN = Failure("", "", "DVC is not installed")
REFUSED = Refusal(by="gate", inputs="0", reason="r2 is 0.1", commit="0123456789abcdef")


@pytest.mark.parametrize(
    ("sources", "reasons", "obstacle"),
    [
        (Sources(), [], ""),
        (
            Sources(STAGES),
            ["prepare@trees is out of date", "train@trees is out of date"],
            "",
        ),
        (Sources(("prepare@big-trees",)), [], ""),
        (Sources((), [NO_ANSWER]), [], "its source cannot be asked: no answer"),
        (Sources((), [BROKEN]), [], "its source cannot be asked: DVC is not installed"),
        (Sources((), [Failure("collect", "big-trees", "no answer")]), [], ""),
        (
            Sources((), (), {"trees": REFUSED}),
            [],
            "it was trained from the same rows before, and refused at 0123456789ab: r2 is 0.1",
        ),
        (Sources((), (), {"big-trees": REFUSED}), [], ""),
    ],
)
def test_each_model_has_reasons_and_obstacles_of_its_own(
    sources: Sources, reasons: list[str], obstacle: str
) -> None:
    assert sources.reasons("trees") == reasons
    assert sources.obstacle("trees") == obstacle
