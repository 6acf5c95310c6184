"""Features, target and key: what one record holds, as declared and as promised to callers."""

import re
from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from treeline.contract.kinds import KINDS, Kind

WHOLE_MAX = 2**53  # up to here a float holds every whole number

# What stands beside the prediction in an answer, which is named like the target.
ANSWER_KEYS = frozenset({"id", "model", "version", "probability", "probabilities"})

FeatureType = Literal["number", "integer", "boolean", "category"]
Task = Literal["binary", "multiclass", "regression"]
Value = bool | float | str
Label = bool | int | float | str
Name = Annotated[str, Field(min_length=1, max_length=200)]


def labels(values: Iterable[Label]) -> tuple[Label, ...]:
    """Return classes in one type: numbers that are all whole as integers, else as floats."""
    given = tuple(values)
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in given):
        return given
    numbers = tuple(whole(each) for each in given)
    return numbers if all(isinstance(each, int) for each in numbers) else tuple(map(float, given))


def whole(label: Label) -> Label:
    """Return 5 for 5.0, and anything else as it is."""
    if isinstance(label, float) and label.is_integer() and abs(label) <= WHOLE_MAX:
        return int(label)
    return label


Labels = Annotated[tuple[Label, ...], AfterValidator(labels)]


class Closed(BaseModel):
    """A frozen declaration in which a misspelt key is an error, not a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Feature(Closed):
    """One column of a record: its type, what it admits, and what stands in for a missing value.

    A value may be left out or null where `nullable` is set or a `fill` is given; without a fill
    the model then sees a missing value (NaN).
    """

    type: FeatureType
    categories: tuple[Annotated[str, Field(strict=True)], ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    fill: Value | None = None
    nullable: bool = False
    unit: str = ""
    description: str = ""

    @property
    def optional(self) -> bool:
        """Whether a record may leave this feature out."""
        return self.nullable or self.fill is not None

    @property
    def kind(self) -> Kind:
        """What is known of its type."""
        return KINDS[self.type]

    def admits(self, value: Value) -> bool:
        """Tell whether `value` has the type and lies within the bounds or categories."""
        return self.kind.admits(self, value)

    def describe(self) -> str:
        """Say in words what is admitted, for an error message."""
        return self.kind.describe(self)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if (self.type == "category") != bool(self.categories):
            raise ValueError("`categories` goes with `type: category`, and only with it")
        if len(set(self.categories)) != len(self.categories):
            raise ValueError("`categories` names one category twice")
        if self.kind.holds != "number" and (self.minimum, self.maximum) != (None, None):
            raise ValueError("`minimum` and `maximum` go with numbers only")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"`minimum` {self.minimum:g} is above `maximum` {self.maximum:g}")
        if self.fill is not None and not self.admits(self.fill):
            raise ValueError(f"`fill` {self.fill!r} is not admitted: give {self.describe()}")
        return self


class Target(Closed):
    """The column to predict: its task and, for a binary one, the class that counts as positive."""

    name: Name
    task: Task
    positive: Annotated[Label, AfterValidator(whole)] | None = None
    unit: str = ""
    description: str = ""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if (self.task == "binary") != (self.positive is not None):
            raise ValueError(
                "`positive` names the positive class of a binary target, and only of one"
            )
        return self


KEY_CHARACTERS = 100
KEY_PATTERN = f"^[A-Za-z0-9._:/+=@-]{{1,{KEY_CHARACTERS}}}$"
KEY_WANTED = f"a text of 1 to {KEY_CHARACTERS} plain characters, or a whole number"


_PLAIN = re.compile(KEY_PATTERN.rstrip("$") + r"\Z")


def key_text(value: object) -> str | None:
    """Return a key as the text under which it is known, None for what is none."""
    if isinstance(value, str):
        return value if _PLAIN.match(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    whole = abs(value) < WHOLE_MAX and value == int(value)
    return str(int(value)) if whole else None
