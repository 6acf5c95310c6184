"""What is watched of a model in service: `models.<name>.monitor`. A change of it trains nothing."""

import re
from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from treeline.contract.features import Closed

SECONDS = {"h": 3_600, "d": 86_400, "w": 604_800}
DURATION = re.compile(r"([1-9][0-9]{0,4})([hdw])")

Alarm = Literal["inputs", "answers", "quality", "calibration"]
ALARMS: tuple[Alarm, ...] = ("inputs", "answers", "quality", "calibration")


def seconds_of(duration: str) -> int:
    """Return the seconds of `12h`, `7d` or `4w`; raises ValueError for another text."""
    parts = DURATION.fullmatch(duration)
    if parts is None:
        raise ValueError("give hours, days or weeks, such as 12h, 7d or 4w")
    return int(parts[1]) * SECONDS[parts[2]]


def _duration(text: str) -> str:
    seconds_of(text)
    return text


Duration = Annotated[str, AfterValidator(_duration)]


class Monitor(Closed):
    """What is compared with what was promised, and what an alarm does.

    Inputs and answers are those of the last `window`, of which there must be `rows`; truths are
    those that came in it, of predictions up to `truths` old. `false_alarms` is the chance that a
    version whose world does not change ever alarms by chance. `effect` is the population stability
    index from which a difference that is no chance matters. `slices` are features by whose values
    quality is told as well, those of categories where none are declared. `action` is what follows
    an alarm, at most once in `every`.
    """

    window: Duration = "7d"
    rows: Annotated[int, Field(ge=50)] = 200
    truths: Duration = "90d"
    slices: tuple[str, ...] | None = None
    alarms: tuple[Alarm, ...] = ALARMS
    false_alarms: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    effect: Annotated[float, Field(gt=0)] = 0.1
    action: Literal["issue", "retrain", "none"] = "issue"
    every: Duration = "7d"

    def check(self, features: Collection[str]) -> None:
        """Raise ValueError where slices are of other columns than features, which nobody logs."""
        if unknown := [name for name in self.slices or () if name not in features]:
            raise ValueError(
                f"`monitor.slices` names {unknown[0]!r}, which is no feature: the log of a service "
                "holds nothing else to slice by"
            )
