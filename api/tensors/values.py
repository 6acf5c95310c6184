"""JSON ↔ arrays: `{"values": …}` checked against the inputs of a graph, its outputs as JSON.

Numbers keep their meaning or are refused: none is rounded to a whole one, none overflows. In
inputs and outputs, null is NaN; an infinity, which JSON has not, is answered as null too.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError
from pydantic_core import ErrorDetails, SchemaValidator, core_schema, to_json

from api.contract.validation import named, shown
from api.errors import MalformedBodyError
from api.tensors.graph import STRING, Array, TensorSpec
from treeline.errors import InvalidInputError, Problem

VALUES = "values"
EXACT = 2**53  # whole numbers that are written as 3.0 are exact up to here


class Values:
    """Reads and writes the values of one model."""

    def __init__(self, inputs: Sequence[TensorSpec]) -> None:
        self.inputs = tuple(inputs)
        self._inputs = {spec.name: spec for spec in inputs}
        self._only = inputs[0] if len(inputs) == 1 else None
        whole = any(integral(spec) for spec in inputs)
        self._named = [validator(record(inputs, loose=loose)) for loose in {False, whole}]
        if self._only is not None:
            only = self._only
            self._plain = [validator(nested(only, loose=loose)) for loose in {False, whole}]

    def feeds(self, body: bytes) -> dict[str, Array]:
        """Return the arrays that a body holds; raises MalformedBodyError and InvalidInputError.

        A single input may be given by its name too.
        """
        if self._only is not None:
            found = self._read(self._plain, body)
            if not isinstance(found, ValidationError):
                return {self._only.name: array_of(found, self._only, VALUES)}
            (first, *_) = found.errors(include_url=False)
            if first["loc"] != (VALUES,) or not isinstance(first["input"], dict):
                raise self._explained(found)
        found = self._read(self._named, body)
        if isinstance(found, ValidationError):
            raise self._explained(found)
        return {
            name: array_of(found[name], spec, f"{VALUES}.{name}")
            for name, spec in self._inputs.items()
        }

    @staticmethod
    def _read(validators: Sequence[SchemaValidator], body: bytes) -> Any:
        """Return the values of a body as lists, or what the strictest way to read it refuses."""
        refused = None
        for each in validators:
            try:
                return each.validate_json(body)[VALUES]
            except ValidationError as error:
                refused = refused or error
        return refused

    def _explained(self, error: ValidationError) -> Exception:
        """Return the error to raise for a body that was refused."""
        found = error.errors(include_url=False)
        if found[0]["type"] == "json_invalid":
            reason = found[0]["msg"].removeprefix("Invalid JSON: ")
            return MalformedBodyError(f"The body is not JSON: {reason}")
        return InvalidInputError([self._problem(entry) for entry in found[:100]])

    def _problem(self, entry: ErrorDetails) -> Problem:
        kind, place, value = entry["type"], entry["loc"], entry["input"]
        where = ".".join(map(str, place)) or "body"
        is_name = len(place) > 1 and isinstance(place[1], str)
        spec = self._inputs.get(str(place[1])) if is_name else self._only
        axis = len(place) - (2 if is_name else 1)
        if kind == "missing":
            return Problem(where, f"is missing; give {self._wanted(spec, place)}")
        if kind == "extra_forbidden":
            known = ", ".join(self._inputs) if len(place) > 1 else VALUES
            return Problem(where, f"is not known here; give only: {known}", value)
        if kind in ("too_short", "too_long") and spec is not None:
            text = f"has length {len(value)}; give {spec.shape[axis]} along this axis"
            return Problem(where, f"{text} of {described(spec)}", value)
        if spec is not None and axis == len(spec.shape) and not isinstance(value, list | dict):
            wrong = f"is {named(value)}" if kind.endswith("_type") else "is not admitted"
            return Problem(where, f"{shown(value)} {wrong}; give {element(spec)}", value)
        text = f"{shown(value)} is {named(value)}; give {self._wanted(spec, place)}"
        return Problem(where, text, value)

    def _wanted(self, spec: TensorSpec | None, place: tuple[int | str, ...]) -> str:
        if not place:
            return 'one JSON object, {"values": …}'
        if spec is None:
            return "an object with one array for each of: " + ", ".join(self._inputs)
        return described(spec)


def written(outputs: Mapping[str, Array], told: Mapping[str, str]) -> bytes:
    """Return the JSON of an answer: the only output plainly, several by name; and `told`."""
    listed = {name: found.tolist() for name, found in outputs.items()}
    values: Any = listed
    if len(listed) == 1:
        (values,) = listed.values()
    return to_json({VALUES: values, **told}, inf_nan_mode="null")


def array_of(values: Any, spec: TensorSpec, place: str) -> Array:
    """Return the array of checked nested lists; raises InvalidInputError where they are ragged."""
    try:
        found = np.array(values, dtype=object if spec.dtype == STRING else spec.dtype)
    except ValueError:
        raise ragged(values, spec, place) from None
    if found.ndim == len(spec.shape):
        return found
    if found.size:
        raise ragged(values, spec, place)
    return found.reshape(*found.shape, *(size or 0 for size in spec.shape[found.ndim :]))


def ragged(values: Any, spec: TensorSpec, place: str) -> InvalidInputError:
    """Return the error that names the first list which is longer or shorter than the others."""
    expected, first = [], values
    for _ in spec.shape:
        expected.append(len(first) if isinstance(first, list) else 0)
        first = first[0] if isinstance(first, list) and first else None
    path, length, wanted = next(uneven(values, expected))
    where = ".".join([place, *map(str, path)])
    text = f"has length {length}, and the first list beside it {wanted}; give {described(spec)}"
    return InvalidInputError([Problem(where, text)])


def uneven(values: Any, expected: list[int]) -> Iterator[tuple[tuple[int, ...], int, int]]:
    """Return place, length and expected length of the lists that are not as expected."""
    if not expected:
        return
    if len(values) != expected[0]:
        yield (), len(values), expected[0]
    for position, each in enumerate(values):
        for path, length, wanted in uneven(each, expected[1:]):
            yield (position, *path), length, wanted


def validator(values: core_schema.CoreSchema) -> SchemaValidator:
    """Return what reads a body of one key."""
    fields = {VALUES: core_schema.typed_dict_field(values)}
    return SchemaValidator(core_schema.typed_dict_schema(fields, extra_behavior="forbid"))


def record(inputs: Sequence[TensorSpec], *, loose: bool) -> core_schema.CoreSchema:
    """Return the schema of values by the name of their input."""
    fields = {spec.name: core_schema.typed_dict_field(nested(spec, loose=loose)) for spec in inputs}
    return core_schema.typed_dict_schema(fields, extra_behavior="forbid")


def nested(spec: TensorSpec, *, loose: bool) -> core_schema.CoreSchema:
    """Return the schema of one array as nested lists; the first fault ends the reading.

    A tensor of a million faults must not make a list of a million errors.
    """
    found = leaf(spec, loose=loose)
    for size in reversed(spec.shape):
        found = core_schema.list_schema(
            found, min_length=size, max_length=size, strict=True, fail_fast=True
        )
    return found


def leaf(spec: TensorSpec, *, loose: bool) -> core_schema.CoreSchema:
    """Return the schema of one element; `loose` admits 3.0 as a whole number."""
    if spec.dtype == STRING:
        return core_schema.str_schema(strict=True)
    if spec.dtype == "bool":
        return core_schema.bool_schema(strict=True)
    if not integral(spec):
        most = float(np.finfo(spec.dtype).max)
        number = core_schema.float_schema(allow_inf_nan=False, ge=-most, le=most, strict=True)
        return core_schema.nullable_schema(number)
    lowest, highest = bounds(spec)
    if not loose:
        return core_schema.int_schema(ge=lowest, le=highest, strict=True)
    lowest, highest = max(lowest, -EXACT), min(highest, EXACT)
    return core_schema.float_schema(multiple_of=1, ge=lowest, le=highest, strict=True)


def integral(spec: TensorSpec) -> bool:
    """Tell whether a tensor holds whole numbers."""
    return spec.dtype.removeprefix("u").startswith("int")


def bounds(spec: TensorSpec) -> tuple[int, int]:
    """Return the lowest and highest whole number of a tensor."""
    limits = np.iinfo(spec.dtype)
    return int(limits.min), int(limits.max)


def element(spec: TensorSpec) -> str:
    """Say in words what one element is."""
    if spec.dtype == STRING:
        return "a text"
    if spec.dtype == "bool":
        return "true or false"
    if integral(spec):
        lowest, highest = bounds(spec)
        return f"a whole number from {lowest} to {highest} ({spec.dtype})"
    most = np.finfo(spec.dtype).max
    return f"a number of at most {most:g} in size ({spec.dtype}), or null for NaN"


def described(spec: TensorSpec) -> str:
    """Say in words what an array is."""
    if not spec.shape:
        return f"{spec.name}: {element(spec)}"
    sizes = " by ".join("any" if size is None else str(size) for size in spec.shape)
    return f"{spec.name}: {spec.dtype} as nested lists of {sizes}"
