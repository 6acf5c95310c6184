"""What a look at a model in service says: `build/monitor/<model>.json`, for people and programs."""

from typing import Any, Literal

from treeline.config.monitor import Alarm
from treeline.contract.features import Closed

FORMAT: Literal[1] = 1

State = Literal["quiet", "alarm", "too few rows"]
Sort = Literal[
    "shift", "missing", "beyond the range", "unseen category",
    "unknown category", "other unit", "constant", "all missing", "not of its type",
    "worse than promised", "other than its word",
]  # fmt: skip


class Interval(Closed):
    """A value and the ends of its interval, None where there are too few rows for one."""

    value: float
    low: float | None = None
    high: float | None = None


class Raised(Closed):
    """One alarm: of what, on which feature, class or metric, and why, in plain words.

    `p` is corrected for all tests of the look; None where it took none to say so.
    """

    alarm: Alarm
    on: str
    sort: Sort
    text: str
    p: float | None = None


class Tested(Closed):
    """One test of one feature or of the answers: p as it is, and corrected for all of the look.

    `effect` is the population stability index of a shift, and else the difference of two shares;
    `matters` says whether it is large enough to alarm, if it is no chance.
    """

    sort: Sort
    p: float
    corrected: float = 1.0
    effect: float
    matters: bool
    text: str


class Column(Closed):
    """How one feature, or the answers, came out: counts by bin beside those of the reference.

    `distance` is that of Jensen and Shannon, from 0 to 1; `moved` how many deviations of the
    reference the mean has moved.
    """

    name: str
    rows: int
    bins: tuple[str, ...]
    before: tuple[float, ...]
    now: tuple[int, ...]
    missing_before: float = 0.0
    missing: int = 0
    beyond: int = 0
    unlike: int = 0
    psi: float | None = None
    distance: float | None = None
    moved: float | None = None
    tests: tuple[Tested, ...] = ()
    note: str = ""


class Cohort(Closed):
    """Predictions of one stretch of time (or one slice) whose truth is known, and their metrics."""

    name: str
    labelled: int
    metrics: dict[str, Interval] = {}


class Quality(Closed):
    """What came true in the window, beside what the gate was promised.

    `estimated` are metrics that calibrated probabilities let expect, of all rows of the window:
    no measurement. `kept` tests the promises that alarm, `trusted` the probabilities.
    """

    labelled: int = 0
    of: int = 0
    metrics: dict[str, Interval] = {}
    promised: dict[str, Interval] = {}
    estimated: dict[str, float] = {}
    cohorts: tuple[Cohort, ...] = ()
    slices: tuple[Cohort, ...] = ()
    bias: Tested | None = None
    calibration: dict[str, float] = {}
    trusted: Tested | None = None
    kept: dict[str, Tested] = {}


class Seen(Closed):
    """Which rows were looked at, by time of prediction, in seconds since 1970."""

    since: float
    until: float
    first: float | None = None
    look: int = 1
    alpha: float = 0.0
    rows: int = 0
    versions: dict[str, int] = {}
    ahead: int = 0
    days_without: tuple[str, ...] = ()


class Ages(Closed):
    """Days since the model and its data were committed, None where git does not know."""

    model_days: float | None = None
    data_days: float | None = None


class Record(Closed):
    """One look at one model."""

    format: Literal[1] = FORMAT
    model: str
    version: str
    state: State
    action: Literal["issue", "retrain", "none"]
    seen: Seen
    alarms: tuple[Raised, ...] = ()
    inputs: tuple[Column, ...] = ()
    answers: tuple[Column, ...] = ()
    answers_basis: str = ""
    quality: Quality = Quality()
    refused: dict[str, int] = {}
    ages: Ages = Ages()
    notes: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """Return what a person asks first, as plain data."""
        return {
            "model": self.model,
            "version": self.version,
            "state": self.state,
            "rows": self.seen.rows,
            "labelled": self.quality.labelled,
            "alarms": [each.model_dump(mode="json") for each in self.alarms],
        }
