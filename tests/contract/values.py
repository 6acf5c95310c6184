"""The values that every door is tried with, each in the form that a format has for it."""

import json
import unicodedata
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from tests.contract.doors import DATATYPES, EXAMPLE, FEATURES, JSON, TYPES, Given

NUMBER_TOKENS = ("NaN", "Infinity", "-Infinity", "1e400")


def of_integer(value: int) -> Given:
    fits = abs(value) < 2**63
    return Given(
        token=str(value),
        field=str(value),
        array=pa.array([value]) if fits else None,
        tensor=("INT64", value) if fits else None,
    )


def of_float(value: float) -> Given:
    text = json.dumps(value)
    return Given(
        token=text,
        field=text,
        array=pa.array([value], pa.float64()),
        tensor=("FP64", text if text in NUMBER_TOKENS else value),
    )


def of_truth(value: bool) -> Given:
    return Given(
        token=JSON(value), field=JSON(value), array=pa.array([value]), tensor=("BOOL", value)
    )


def of_text(value: str) -> Given:
    return Given(token=JSON(value), field=value, array=pa.array([value]), tensor=("BYTES", value))


def of_null(name: str) -> Given:
    kind = FEATURES[name].type
    return Given(
        token="null",
        field="NA",
        array=pa.array([None], TYPES.get(kind, pa.string())),
        tensor=(DATATYPES[kind], None),
    )


def by_dictionary(value: Any) -> Given:
    return Given(array=pa.array([value]).dictionary_encode())


def as_float16(value: float) -> Given:
    return Given(
        array=pa.array([np.float16(value)], pa.float16()), tensor=("FP16", np.float16(value))
    )


def example(name: str) -> Given:
    value = EXAMPLE[name]
    of: Any = {bool: of_truth, str: of_text, int: of_integer, float: of_float}[type(value)]
    return of(value)


def values(name: str) -> dict[str, Given]:
    """Return every value that the feature `name` is tried with."""
    usual = example(name)
    decomposed = unicodedata.normalize("NFD", "H\u00eatre")
    return {
        "the example": usual,
        "0": of_integer(0),
        "1": of_integer(1),
        "-7": of_integer(-7),
        "5": of_integer(5),
        "6": of_integer(6),
        "2^24": of_integer(2**24),
        "2^24 + 1": of_integer(2**24 + 1),
        "2^24 + 1 as a float": of_float(2.0**24 + 1),
        "decimal 2^24 + 1": Given(array=pa.array([Decimal(2**24 + 1)], pa.decimal128(38, 0))),
        "2^53 - 1": of_integer(2**53 - 1),
        "2^53": of_integer(2**53),
        "2^53 + 1": of_integer(2**53 + 1),
        "2^60": of_integer(2**60),
        "2^60 as a float": of_float(2.0**60),
        "10^30": of_integer(10**30),
        "1e39": of_float(1e39),
        "1e400": Given(token="1e400", field="1e400", tensor=("FP64", "1e400")),
        "1.0": of_float(1.0),
        "1.5": of_float(1.5),
        "-0.0": of_float(-0.0),
        "1e-50": of_float(1e-50),
        "NaN": of_float(float("nan")),
        "infinity": of_float(float("inf")),
        "minus infinity": of_float(float("-inf")),
        "null": of_null(name),
        "null of a column of nulls": Given(array=pa.nulls(1)),
        "missing": Given(absent=True),
        "empty text": of_text(""),
        "true": of_truth(True),
        "false": of_truth(False),
        "text of 1": of_text("1"),
        "text of 0x1F": of_text("0x1F"),
        "text TRUE": of_text("TRUE"),
        "text oak": of_text("oak"),
        "leading space": of_text(" oak"),
        "trailing space": of_text("oak "),
        "a space before 1": of_text(" 1"),
        "other case": of_text("Oak"),
        "composed": of_text("H\u00eatre"),
        "decomposed": of_text(decomposed),
        "unknown category": of_text("ash"),
        "decimal 0.50": Given(array=pa.array([Decimal("0.50")])),
        "decimal 4": Given(array=pa.array([Decimal("4")], pa.decimal128(38, 0))),
        "decimal 2^60": Given(array=pa.array([Decimal(2**60)], pa.decimal128(38, 0))),
        "decimal null": Given(array=pa.array([None], pa.decimal128(10, 2))),
        "float16 0.5": as_float16(0.5),
        "float16 4": as_float16(4),
        "float16 null": Given(array=pa.array([None], pa.float16())),
        "dictionary of oak": by_dictionary("oak"),
        "dictionary of ash": by_dictionary("ash"),
        "dictionary of 4": by_dictionary(4),
        "dictionary of 0.5": by_dictionary(0.5),
        "dictionary of true": Given(
            array=pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), pa.array([True]))
        ),
        "dictionary, null": Given(array=pa.array([None], pa.string()).dictionary_encode()),
        "large text oak": Given(array=pa.array(["oak"], pa.large_string())),
        "text view oak": Given(array=pa.array(["oak"], pa.string_view())),
        "unsigned 4": Given(array=pa.array([4], pa.uint64())),
        "date": Given(array=pa.array([0], pa.date32())),
        "list": Given(token="[1]", array=pa.array([[1]])),
        "object": Given(token='{"a":1}', array=pa.array([{"a": 1}])),
        "twice": Given(usual.token, usual.field, usual.array, usual.tensor, repeated=True),
        "with an extra key": Given(usual.token, usual.field, usual.array, usual.tensor, extra=True),
    }
