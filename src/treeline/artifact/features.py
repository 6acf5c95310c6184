"""Features and target: what one record holds, as declared and as promised to callers."""

from math import isfinite
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

FLOAT32_MAX = 3.4028234663852886e38  # the matrix a model sees is float32

FeatureType = Literal["number", "integer", "boolean", "category"]
Task = Literal["binary", "multiclass", "regression"]
Value = bool | float | str
Name = Annotated[str, Field(min_length=1, max_length=200)]


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

    def admits(self, value: Value) -> bool:
        """Tell whether `value` has the type and lies within the bounds or categories."""
        if self.type == "category":
            return value in self.categories
        if self.type == "boolean":
            return isinstance(value, bool)
        if isinstance(value, (bool, str)) or not isfinite(value):
            return False
        if self.type == "integer" and value != int(value):
            return False
        lowest = -FLOAT32_MAX if self.minimum is None else self.minimum
        highest = FLOAT32_MAX if self.maximum is None else self.maximum
        return lowest <= value <= highest

    def describe(self) -> str:
        """Say in words what is admitted, for an error message."""
        if self.type == "category":
            return "one of " + ", ".join(self.categories)
        if self.type == "boolean":
            return "true or false"
        words = {"number": "a number", "integer": "a whole number"}[self.type]
        if self.minimum is not None and self.maximum is not None:
            return f"{words} from {self.minimum:g} to {self.maximum:g}"
        if self.minimum is not None:
            return f"{words}, at least {self.minimum:g}"
        return words if self.maximum is None else f"{words}, at most {self.maximum:g}"

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if (self.type == "category") != bool(self.categories):
            raise ValueError("`categories` goes with `type: category`, and only with it")
        if len(set(self.categories)) != len(self.categories):
            raise ValueError("`categories` names one category twice")
        if self.type not in ("number", "integer") and (self.minimum, self.maximum) != (None, None):
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
    positive: Value | None = None
    unit: str = ""
    description: str = ""

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if (self.task == "binary") != (self.positive is not None):
            raise ValueError(
                "`positive` names the positive class of a binary target, and only of one"
            )
        return self
