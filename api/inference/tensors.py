"""JSON ↔ arrays: `{"values": …}` checked against the inputs of a graph, its outputs as JSON.

Numbers keep their meaning or are refused: none is rounded to a whole one, none overflows. In
inputs and outputs, null is NaN; an infinity, which JSON has not, is answered as null too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import ValidationError
from pydantic_core import ErrorDetails, SchemaValidator, core_schema, from_json, to_json

from api.contract.faults import explain, place_of
from api.errors import MalformedBodyError
from api.http.documents import narrowed
from api.inference.graph import MOST_RANK, STRING, Array, Output, TensorSpec
from treeline.contract.problems import listed, named, shown
from treeline.errors import InvalidInputError, Problem

VALUES = "values"
EXACT = 2**53  # whole numbers that are written as 3.0 are exact up to here


class Values:
    """Reads the values of one model."""

    def __init__(self, inputs: Sequence[TensorSpec]) -> None:
        self._declared = tuple(inputs)
        self._names = frozenset({VALUES, *(spec.name for spec in inputs)})

    def feeds(self, body: bytes) -> dict[str, Array]:
        """Return the arrays that a body holds; raises MalformedBodyError and InvalidInputError.

        A single input may be given by its name too, and one row of it as such.
        """
        try:
            document = from_json(body)
        except ValueError as error:
            raise MalformedBodyError(f"The body is not JSON: {error}") from error
        document = narrowed(document, self._names)
        given = document.get(VALUES) if isinstance(document, dict) else None
        reader = Reader([ranked(spec, given) for spec in self._declared], self._declared)
        if not is_row(reader.inputs, given):
            return reader.feeds(document)
        try:
            return reader.feeds(document | {VALUES: [given]})
        except InvalidInputError as error:
            raise InvalidInputError([outside(each) for each in error.problems]) from error


class Reader:
    """Reads values for inputs whose rank is known."""

    def __init__(self, inputs: Sequence[TensorSpec], declared: Sequence[TensorSpec]) -> None:
        """Take the inputs as they are read, and as the graph declares them."""
        self.inputs = tuple(inputs)
        self._declared = {spec.name: spec for spec in declared}
        self._inputs = {spec.name: spec for spec in inputs}
        self._only = inputs[0] if len(inputs) == 1 else None
        whole = any(integral(spec) for spec in inputs)
        self._named = [validator(record(inputs, loose=loose)) for loose in {False, whole}]
        if self._only is not None:
            only = self._only
            self._plain = [validator(nested(only, loose=loose)) for loose in {False, whole}]

    def feeds(self, document: Any) -> dict[str, Array]:
        """Return the arrays that a document holds; raises InvalidInputError."""
        if self._only is not None:
            values = self._read(self._plain, document)
            if not isinstance(values, ValidationError):
                return {self._only.name: array_of(values, self._only, VALUES)}
            (first, *_) = values.errors(include_url=False)
            if first["loc"] != (VALUES,) or not isinstance(first["input"], dict):
                raise explain(values, self._problem)
        values = self._read(self._named, document)
        if isinstance(values, ValidationError):
            raise explain(values, self._problem)
        return {
            name: array_of(values[name], spec, f"{VALUES}.{name}")
            for name, spec in self._inputs.items()
        }

    @staticmethod
    def _read(validators: Sequence[SchemaValidator], document: Any) -> Any:
        """Return the values of a document, or what the strictest way to read it refuses."""
        refused = None
        for each in validators:
            try:
                return each.validate_python(document)[VALUES]
            except ValidationError as error:
                refused = refused or error
        return refused

    def _problem(self, entry: ErrorDetails) -> Problem:
        kind, place, value = entry["type"], entry["loc"], entry["input"]
        where = place_of(place)
        is_name = len(place) > 1 and isinstance(place[1], str)
        spec = self._inputs.get(str(place[1])) if is_name else self._only
        axis = len(place) - (2 if is_name else 1)
        if kind == "missing":
            declared = self._declared[spec.name] if spec is not None else None
            return Problem(where, f"is missing; give {self._wanted(declared, place)}")
        if kind == "extra_forbidden":
            known = listed(self._inputs) if len(place) > 1 else VALUES
            return Problem(where, f"is not known here; give only: {known}", value)
        if kind in ("too_short", "too_long") and spec is not None:
            text = f"has length {len(value)}; give {sizes(spec)[axis]} along this axis"
            return Problem(where, f"{text} of {described(spec)}", value)
        if spec is not None and axis == len(sizes(spec)) and not isinstance(value, list | dict):
            wrong = f"is {named(value)}" if kind.endswith("_type") else "is not admitted"
            return Problem(where, f"{shown(value)} {wrong}; give {element(spec)}", value)
        text = f"{shown(value)} is {named(value)}; give {self._wanted(spec, place)}"
        return Problem(where, text, value)

    def _wanted(self, spec: TensorSpec | None, place: tuple[int | str, ...]) -> str:
        if not place:
            return 'one JSON object, {"values": …}'
        if spec is None:
            return "an object with one array for each of: " + listed(self._inputs)
        return described(spec)


def ranked(spec: TensorSpec, given: Any) -> TensorSpec:
    """Return an input of unknown rank with that of what is given; raises InvalidInputError."""
    if spec.shape is not None:
        return spec
    given = given.get(spec.name) if isinstance(given, dict) else given
    rank, _ = innermost(given)
    if rank > MOST_RANK:
        text = f"is nested {rank} deep; give {described(spec)}, at most {MOST_RANK} deep"
        raise InvalidInputError([Problem(VALUES, text)])
    return replace(spec, shape=(None,) * rank)


def is_row(inputs: Sequence[TensorSpec], given: Any) -> bool:
    """Tell whether values are one row of an only input that takes any number of them."""
    if len(inputs) != 1 or len(shape := sizes(inputs[0])) < 2 or shape[0] is not None:
        return False
    rank, first = innermost(given)
    return rank == len(shape) - 1 and not isinstance(first, list | dict)


def innermost(given: Any) -> tuple[int, Any]:
    """Return how deep lists lie in one another, going by the first of each, and what is inside."""
    rank = 0
    while isinstance(given, list) and given:
        given, rank = given[0], rank + 1
    return rank + isinstance(given, list), given


def outside(problem: Problem) -> Problem:
    """Return a problem with a row at its place in the body, which has no list around it."""
    inside, place = f"{VALUES}.0", problem.place
    if place == inside or place.startswith(f"{inside}."):
        return replace(problem, place=VALUES + place.removeprefix(inside))
    return problem


def written(
    outputs: Mapping[str, Output], head: Mapping[str, str], specs: Sequence[TensorSpec] = ()
) -> bytes:
    """Return the JSON of an answer: the only output plainly, several by name; and `told`.

    Where `specs` name the classes of an output, each of its rows is one number by class.
    """
    classes = {spec.name: spec.classes for spec in specs}
    listed = {name: plain(output, classes.get(name, ())) for name, output in outputs.items()}
    values: Any = listed
    if len(listed) == 1:
        (values,) = listed.values()
    return to_json({VALUES: values, **head}, inf_nan_mode="null")


def plain(output: Output, classes: Sequence[str | int]) -> list[Any]:
    """Return an output as lists, of one number by class for each row where there are classes."""
    if isinstance(output, list):
        return [each.tolist() for each in output]
    rows: list[Any] = output.tolist()
    return [dict(zip(classes, row, strict=True)) for row in rows] if classes else rows


def array_of(values: Any, spec: TensorSpec, place: str) -> Array:
    """Return the array of checked nested lists; raises InvalidInputError where they are ragged."""
    try:
        array = np.array(values, dtype=object if spec.dtype == STRING else spec.dtype)
    except ValueError:
        raise ragged(values, spec, place) from None
    shape = sizes(spec)
    if array.ndim == len(shape):
        return array
    if array.size:
        raise ragged(values, spec, place)
    return array.reshape(*array.shape, *(size or 0 for size in shape[array.ndim :]))


def ragged(values: Any, spec: TensorSpec, place: str) -> InvalidInputError:
    """Return the error that names the first list which is longer or shorter than the others."""
    expected, first = [], values
    for _ in sizes(spec):
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
    schema = leaf(spec, loose=loose)
    for size in reversed(sizes(spec)):
        schema = core_schema.list_schema(
            schema, min_length=size, max_length=size, strict=True, fail_fast=True
        )
    return schema


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


def sizes(spec: TensorSpec) -> tuple[int | None, ...]:
    """Return the sizes of a tensor whose rank is known."""
    if spec.shape is None:
        raise TypeError(f"the rank of {spec.name} is not known")
    return spec.shape


def described(spec: TensorSpec) -> str:
    """Say in words what an array is."""
    if spec.sequence:
        return f"{spec.name}: a list of arrays of {spec.dtype}, each of its own shape"
    if spec.classes:
        return f"{spec.name}: for each row, {spec.dtype} by class"
    if spec.shape is None:
        return f"{spec.name}: {spec.dtype} as nested lists of any depth, as the graph has no shape"
    if not spec.shape:
        return f"{spec.name}: {element(spec)}"
    shape = " by ".join("any" if size is None else str(size) for size in spec.shape)
    return f"{spec.name}: {spec.dtype} as nested lists of {shape}"
