"""The types that a feature may have, one class each: all that the project knows of a type.

What every door asks of a type stands here: which values it admits and how they are encoded, what a
column of Arrow or a tensor must hold, what a field of a CSV says, and how a document describes it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from math import isfinite, isnan
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, StrictBool
from pydantic_core import PydanticCustomError
from typing_extensions import TypeIs

from treeline.contract.texts import TRUTHS, number_of, truth_of

if TYPE_CHECKING:
    from treeline.contract.features import Feature

FLOAT32_MAX = 3.4028234663852886e38  # the matrix a model sees is float32
INTEGER_MAX = 2**24  # float32 has every whole number up to here, and not the next

NUMERIC = tuple(f"{kind}{bits}" for kind in ("INT", "UINT") for bits in (8, 16, 32, 64))
NUMERIC += ("FP16", "FP32", "FP64")

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
JsonSchema = dict[str, Any]
Holds = Literal["number", "boolean", "text", "nothing"]


@dataclass(frozen=True)
class Column:
    """The values of one feature, one for each of n_rows rows, as a door has read them.

    `missing` of shape (n_rows,) marks the rows without a value; what the others say of these
    means nothing. A column that holds numbers, or booleans as 0 and 1, has `numbers`, float64 of
    shape (n_rows,), NaN for what is none. One that holds texts has `match`: from texts to the
    position of each row's text among them, int64 of shape (n_rows,), -1 for another text.
    `value` returns the value of a row as its sender knows it, for a message.
    """

    holds: Holds
    missing: Mask
    value: Callable[[int], object]
    numbers: Floats | None = None
    match: Callable[[tuple[str, ...]], NDArray[np.int64]] | None = None


class Kind(Protocol):
    """What is known of one type of features.

    `wanted` are the columns of Arrow that hold it, in words; `datatypes` those of tensors, of which
    `datatype` is the usual one. `whole` says that a fraction, however small, is not admitted.
    """

    holds: Holds
    wanted: str
    datatype: str
    datatypes: tuple[str, ...]
    whole: bool

    def describe(self, feature: "Feature") -> str:
        """Say in words what is admitted."""

    def is_of(self, value: object) -> bool:
        """Tell whether a value is of this type, admitted or not."""

    def admits(self, feature: "Feature", value: object) -> bool:
        """Tell whether a feature admits a value."""

    def bounds(self, feature: "Feature") -> tuple[float, ...]:
        """Return the least and the largest number admitted; nothing where there is no order."""

    def broken_limit(self, feature: "Feature", number: float) -> str:
        """Say which limit of the type itself a number breaks; empty for none."""

    def annotation(self, feature: "Feature") -> Any:
        """Return what pydantic holds one value against: it admits what `codes` admits."""

    def schema(self, feature: "Feature") -> JsonSchema:
        """Return the JSON Schema of the values that are admitted, without null."""

    def choices(self, feature: "Feature") -> tuple[str, ...]:
        """Return the texts that the values are chosen from; nothing where they are numbers."""

    def parsed(self, text: str) -> bool | float | str:
        """Return what a field of a CSV says, or its text where it says no value of the type."""

    def spellings(self, feature: "Feature") -> dict[str, float]:
        """Return the code of each text that says a value in a CSV; nothing where it is a number."""

    def code(self, feature: "Feature", value: Any) -> float:
        """Return the code of one admitted value."""

    def decoded(self, categories: Sequence[str], codes: Sequence[float]) -> list[Any]:
        """Return the value that each code stands for, None for NaN."""

    def codes(self, feature: "Feature", column: Column) -> tuple[Floats, Mask]:
        """Return the codes of a column, and which of its rows are not admitted.

        The codes of missing rows, and of those that are not admitted, mean nothing.
        """


class Number:
    """A finite number that fits float32."""

    holds: Holds = "number"
    wanted = "whole, floating or decimal numbers"
    datatype = "FP64"
    datatypes: tuple[str, ...] = NUMERIC
    whole = False
    words = "a number"
    json_type = "number"
    most = FLOAT32_MAX

    def describe(self, feature: "Feature") -> str:
        """Say in words what is admitted."""
        low, high = feature.minimum, feature.maximum
        if low is not None and high is not None:
            return f"{self.words} from {low:g} to {high:g}"
        if low is not None:
            return f"{self.words}, at least {low:g}"
        return self.words if high is None else f"{self.words}, at most {high:g}"

    def bounds(self, feature: "Feature") -> tuple[float, ...]:
        """Return the least and the largest number admitted: what is declared, and what fits."""
        low = -self.most if feature.minimum is None else max(feature.minimum, -self.most)
        return low, self.most if feature.maximum is None else min(feature.maximum, self.most)

    def is_of(self, value: object) -> bool:
        """Tell whether a value is a number, admitted or not."""
        return is_number(value)

    def admits(self, feature: "Feature", value: object) -> bool:
        """Tell whether a value is a number within the limits."""
        if not is_number(value) or not isfinite(value):
            return False
        low, high = self.bounds(feature)
        return low <= value <= high

    def broken_limit(self, feature: "Feature", number: float) -> str:
        """Say which limit of the type itself a number breaks; empty for none."""
        bound = feature.maximum if number > 0 else feature.minimum
        beyond = isfinite(number) and abs(number) > self.most
        return self.limit() if beyond and (bound is None or abs(bound) > self.most) else ""

    def limit(self) -> str:
        """Say what fits."""
        return f" that fits float32: at most {self.most:g} in size"

    def annotation(self, feature: "Feature") -> Any:
        """Return what pydantic holds one value against."""
        low, high = self.bounds(feature)
        return Annotated[float, Field(strict=True, allow_inf_nan=False, ge=low, le=high)]

    def schema(self, feature: "Feature") -> JsonSchema:
        """Return the JSON Schema of the values that are admitted, without null."""
        low, high = self.bounds(feature)
        return {"type": self.json_type, "minimum": low, "maximum": high}

    def choices(self, feature: "Feature") -> tuple[str, ...]:
        """Return nothing: there are too many to choose from."""
        return ()

    def parsed(self, text: str) -> float | str:
        """Return the number that a field of a CSV says, or its text."""
        return number_of(text)

    def spellings(self, feature: "Feature") -> dict[str, float]:
        """Return nothing: a number is spelt in too many ways."""
        return {}

    def code(self, feature: "Feature", value: Any) -> float:
        """Return the number itself."""
        return float(value)

    def decoded(self, categories: Sequence[str], codes: Sequence[float]) -> list[Any]:
        """Return the numbers themselves, None for NaN."""
        return [None if isnan(code) else code for code in codes]

    def codes(self, feature: "Feature", column: Column) -> tuple[Floats, Mask]:
        """Return the numbers, and which are not within the limits."""
        if column.numbers is None or column.holds != "number":
            return nothing_of(column)
        low, high = self.bounds(feature)
        return column.numbers, ~((column.numbers >= low) & (column.numbers <= high))


class Integer(Number):
    """A whole number that float32 tells from its neighbours; 3.0 is one."""

    datatype = "INT64"
    whole = True
    words = "a whole number"
    json_type = "integer"
    most = float(INTEGER_MAX)

    def limit(self) -> str:
        """Say what float32 tells from its neighbours."""
        return f", at most {INTEGER_MAX} in size, as float32 tells them apart"

    def admits(self, feature: "Feature", value: object) -> bool:
        """Tell whether a value is a whole number within the limits."""
        return super().admits(feature, value) and is_number(value) and value == int(value)

    def annotation(self, feature: "Feature") -> Any:
        """Return what pydantic holds one value against."""
        return Annotated[super().annotation(feature), AfterValidator(_whole)]

    def decoded(self, categories: Sequence[str], codes: Sequence[float]) -> list[Any]:
        """Return whole numbers, None for NaN."""
        return [None if isnan(code) else int(code) for code in codes]

    def codes(self, feature: "Feature", column: Column) -> tuple[Floats, Mask]:
        """Return the numbers, and which are not whole or not within the limits."""
        numbers, bad = super().codes(feature, column)
        with np.errstate(invalid="ignore"):
            return numbers, bad | (numbers != np.trunc(numbers))


class Boolean:
    """True or false."""

    holds: Holds = "boolean"
    wanted = "booleans"
    datatype = "BOOL"
    datatypes: tuple[str, ...] = ("BOOL",)
    whole = False

    def describe(self, feature: "Feature") -> str:
        """Say in words what is admitted."""
        return "true or false"

    def is_of(self, value: object) -> bool:
        """Tell whether a value is true or false."""
        return isinstance(value, bool)

    def admits(self, feature: "Feature", value: object) -> bool:
        """Tell whether a value is true or false."""
        return isinstance(value, bool)

    def bounds(self, feature: "Feature") -> tuple[float, ...]:
        """Return nothing: there is no order."""
        return ()

    def broken_limit(self, feature: "Feature", number: float) -> str:
        """Return an empty text: there is no limit."""
        return ""

    def annotation(self, feature: "Feature") -> Any:
        """Return what pydantic holds one value against."""
        return StrictBool

    def schema(self, feature: "Feature") -> JsonSchema:
        """Return the JSON Schema of the values that are admitted, without null."""
        return {"type": "boolean"}

    def choices(self, feature: "Feature") -> tuple[str, ...]:
        """Return the texts that the values are chosen from."""
        return ("true", "false")

    def parsed(self, text: str) -> bool | str:
        """Return the truth that a field of a CSV says, or its text."""
        return truth_of(text)

    def spellings(self, feature: "Feature") -> dict[str, float]:
        """Return the code of each text that says true or false, in any case."""
        return {
            "".join(letters): float(value)
            for text, value in TRUTHS.items()
            for letters in product(*zip(text, text.upper(), strict=True))
        }

    def code(self, feature: "Feature", value: Any) -> float:
        """Return 0 or 1."""
        return float(value)

    def decoded(self, categories: Sequence[str], codes: Sequence[float]) -> list[Any]:
        """Return true for 1 and false for 0, None for NaN."""
        return [None if isnan(code) else bool(code) for code in codes]

    def codes(self, feature: "Feature", column: Column) -> tuple[Floats, Mask]:
        """Return 0 or 1, and which are neither true nor false."""
        if column.numbers is None or column.holds != "boolean":
            return nothing_of(column)
        return column.numbers, ~((column.numbers == 0) | (column.numbers == 1))


class Category:
    """One of the declared texts, the same to the last character."""

    holds: Holds = "text"
    wanted = "text, or text by dictionary"
    datatype = "BYTES"
    datatypes: tuple[str, ...] = ("BYTES",)
    whole = False

    def describe(self, feature: "Feature") -> str:
        """Say in words what is admitted."""
        return "one of " + ", ".join(feature.categories)

    def is_of(self, value: object) -> bool:
        """Tell whether a value is a text."""
        return isinstance(value, str)

    def admits(self, feature: "Feature", value: object) -> bool:
        """Tell whether a value is a declared category."""
        return value in feature.categories

    def bounds(self, feature: "Feature") -> tuple[float, ...]:
        """Return nothing: there is no order."""
        return ()

    def broken_limit(self, feature: "Feature", number: float) -> str:
        """Return an empty text: there is no limit."""
        return ""

    def annotation(self, feature: "Feature") -> Any:
        """Return what pydantic holds one value against."""
        return Literal[feature.categories]

    def schema(self, feature: "Feature") -> JsonSchema:
        """Return the JSON Schema of the values that are admitted, without null."""
        return {"type": "string", "enum": [*feature.categories]}

    def choices(self, feature: "Feature") -> tuple[str, ...]:
        """Return the texts that the values are chosen from."""
        return feature.categories

    def parsed(self, text: str) -> str:
        """Return the text."""
        return text

    def spellings(self, feature: "Feature") -> dict[str, float]:
        """Return the position of each category in the declared list."""
        return {text: float(place) for place, text in enumerate(feature.categories)}

    def code(self, feature: "Feature", value: Any) -> float:
        """Return the position in the declared list."""
        return float(feature.categories.index(value))

    def decoded(self, categories: Sequence[str], codes: Sequence[float]) -> list[Any]:
        """Return the categories at the positions, None for NaN."""
        return [None if isnan(code) else categories[int(code)] for code in codes]

    def codes(self, feature: "Feature", column: Column) -> tuple[Floats, Mask]:
        """Return positions in the declared list, and which rows have no declared category."""
        if column.match is None or column.holds != "text":
            return nothing_of(column)
        positions = column.match(feature.categories)
        return positions.astype(np.float64), positions < 0


KINDS: dict[str, Kind] = {
    "number": Number(),
    "integer": Integer(),
    "boolean": Boolean(),
    "category": Category(),
}


def is_number(value: object) -> TypeIs[int | float]:
    """Tell whether a value is a number: true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def nothing_of(column: Column) -> tuple[Floats, Mask]:
    """Return codes without meaning for a column of another type: no value of it is admitted."""
    return np.zeros(len(column.missing)), np.ones(len(column.missing), dtype=np.bool_)


def _whole(number: float) -> float:
    if isfinite(number) and number != int(number):
        raise PydanticCustomError("whole_number", "Input should be a whole number")
    return number
