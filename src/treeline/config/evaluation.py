"""How a champion is judged beside its gate: `evaluation`, and `gate.leaks`, of a declared model."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from treeline.contract.features import Closed

Suspicion = Literal["allow", "warn", "refuse"]


class Costs(Closed):
    """What a wrong answer of a binary target costs, in any unit of the user's."""

    false_alarm: Annotated[float, Field(gt=0)]
    miss: Annotated[float, Field(gt=0)]


class Evaluation(Closed):
    """How the champion is judged.

    With `folds` all rows are judged rather than those of the test split: champion and baseline are
    refitted, with the settings that won, without each of so many parts in turn, groups whole, and
    predict that part; `all` leaves out one group (or row) at a time. `repeats` draws other parts.
    The report judges each value of the columns of `slices` for itself, of features of categories
    where none are declared; weighs thresholds by `costs`; and refits the champion on parts of the
    training rows for a `learning_curve`.
    """

    folds: Annotated[int, Field(ge=2)] | Literal["all"] | None = None
    repeats: Annotated[int, Field(ge=1)] = 1
    slices: tuple[str, ...] | None = None
    costs: Costs | None = None
    learning_curve: bool = False

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if self.repeats > 1 and not isinstance(self.folds, int):
            raise ValueError("`repeats` draws the parts of `folds` anew; declare a number of those")
        return self

    @property
    def refits(self) -> str:
        """The key that has the champion refitted, or nothing."""
        if self.folds is not None:
            return "folds"
        return "learning_curve" if self.learning_curve else ""


class Leaks(Closed):
    """What becomes of a model whose data may give the answer away, by what was seen of them.

    `warn` says it, `refuse` refuses it, `allow` says that somebody has looked. Of twins only those
    are refused that are many and beyond chance.
    """

    twins: Suspicion = "refuse"
    telling: Suspicion = "warn"
    ids: Suspicion = "warn"
    clocks: Suspicion = "warn"
    groups: Suspicion = "warn"
