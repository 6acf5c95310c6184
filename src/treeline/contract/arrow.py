"""Columns of Arrow → columns as the rule takes them; needs pyarrow.

Whoever reads what strangers send has validated the arrays in full before.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from treeline.contract.features import Feature
from treeline.contract.kinds import Column, Holds
from treeline.contract.problems import plain

NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
TEXTS = (pa.types.is_string, pa.types.is_large_string)
WORDS = (
    (pa.types.is_temporal, "dates or times"),
    (pa.types.is_nested, "lists or objects"),
)
LONGEST = 80  # characters of the name of a type that a message repeats


def misfit(kind: pa.DataType, feature: Feature) -> str:
    """Say what is wrong with the type of a column for a feature; empty where it can hold it."""
    if holds(kind) in (feature.kind.holds, "nothing"):
        return ""
    return f"holds {named(kind)}; give {feature.kind.wanted}"


def named(kind: pa.DataType) -> str:
    """Say what columns of a type hold; the same for a column by dictionary."""
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    if (what := holds(inner)) is not None:
        return {"number": "numbers", "boolean": "booleans"}.get(what, what)
    return next((words for test, words in WORDS if test(inner)), str(inner)[:LONGEST])


def holds(kind: pa.DataType) -> Holds | None:
    """Return what columns of a type hold, None for what no feature is made of."""
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_null(inner):
        return "nothing"
    if pa.types.is_boolean(inner):
        return "boolean"
    if any(test(inner) for test in NUMBERS):
        return "number"
    return "text" if any(test(inner) for test in TEXTS) else None


def column_of(array: pa.Array) -> Column:
    """Return a column of a type that `holds` knows; each text of a dictionary is compared once."""
    what = holds(array.type)
    if what == "text":
        return Column(
            "text", _missing(array), _value_of(array), match=lambda known: _places(array, known)
        )
    if what == "nothing":
        return Column("nothing", np.ones(len(array), dtype=np.bool_), _value_of(array))
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    known = pc.fill_null(array.cast(pa.float64(), safe=False), 0.0)
    numbers = np.array(known, dtype=np.float64)
    return Column(
        "boolean" if what == "boolean" else "number",
        _missing(array),
        _value_of(array),
        numbers=numbers,
    )


def _missing(array: pa.Array) -> NDArray[np.bool_]:
    """Return which values are null, in the column or in its dictionary; NaN is none."""
    missing = np.array(array.is_null(), dtype=np.bool_)
    if pa.types.is_dictionary(array.type) and array.dictionary.null_count:
        nulls = np.append(np.asarray(array.dictionary.is_null()), True)
        missing |= nulls[_indices(array)]
    return missing


def _value_of(array: pa.Array) -> Any:
    def value(row: int) -> object:
        held = array[row].as_py()
        return plain(held)

    return value


def _places(array: pa.Array, known: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the position of each text among those known, -1 for another one or none."""
    texts = array.dictionary if pa.types.is_dictionary(array.type) else array
    positions = pc.index_in(texts, value_set=pa.array(known, type=texts.type))
    places = np.asarray(pc.fill_null(positions, -1)).astype(np.int64)
    return (
        places if not pa.types.is_dictionary(array.type) else np.append(places, -1)[_indices(array)]
    )


def _indices(array: pa.Array) -> NDArray[np.int64]:
    """Return the place of each row's value in the dictionary, -1 for none."""
    return np.asarray(pc.fill_null(array.indices.cast(pa.int64()), -1))
