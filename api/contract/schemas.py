"""What goes over the wire, made from the signature.

The model that checks a request, both JSON Schemas, an example with a command line to paste, and
what becomes of columns, or keys of a record, that are no features.
"""

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, NotRequired, Self
from urllib.parse import parse_qs, quote

from pydantic import AfterValidator, ConfigDict, TypeAdapter, with_config
from pydantic_core import PydanticCustomError, to_json
from typing_extensions import TypedDict

from treeline.contract.features import (
    KEY_PATTERN,
    KEY_WANTED,
    WHOLE_MAX,
    Feature,
    Value,
    key_text,
    whole,
)
from treeline.contract.signature import Signature
from treeline.contract.texts import text_of
from treeline.errors import InvalidInputError, Problem

JsonSchema = dict[str, Any]
ENUMERATED: dict[type, str] = {str: "string", int: "integer", bool: "boolean"}


def record_validator(signature: Signature) -> TypeAdapter[dict[str, Value | None]]:
    """Return what reads one request body: closed, strict, the features under their own names.

    A dictionary with declared keys, since a column may be called anything (`petal length (cm)`,
    `class`, `_`), and since it is read in a fraction of what a model takes.
    """
    fields = {name: _field(feature) for name, feature in signature.features.items()}
    if signature.key is not None:
        fields[signature.key] = NotRequired[Annotated[Any, AfterValidator(_key)]]
    declare: Any = TypedDict  # with a name and keys that are known only here
    declared: Any = declare(f"{signature.name} record", fields)
    return TypeAdapter(with_config(ConfigDict(extra="forbid", strict=True))(declared))


def key_schema() -> JsonSchema:
    """Return the JSON Schema of the caller's own key."""
    return {
        "type": ["string", "integer", "null"],
        "pattern": KEY_PATTERN,
        "minimum": 1 - WHOLE_MAX,
        "maximum": WHOLE_MAX - 1,
        "description": "Your own key of what the record is about, recorded with the prediction. No "
        "model sees it; `POST /v1/feedback` takes it in the place of the id",
    }


def feature_schema(feature: Feature) -> JsonSchema:
    """Return the JSON Schema of the values of one feature."""
    schema: JsonSchema = feature.kind.schema(feature)
    if feature.optional:
        schema["type"] = [schema["type"], "null"]
    if feature.optional and "enum" in schema:
        schema["enum"] = [*schema["enum"], None]
    if text := feature_text(feature):
        schema["description"] = text
    return schema


def feature_text(feature: Feature) -> str:
    """Say in one line what a feature is, its unit, and what happens when it is left out."""
    parts = [feature.description, f"Unit: {feature.unit}" if feature.unit else ""]
    if feature.fill is not None:
        parts.append(f"When left out, {text_of(whole(feature.fill))} is taken")
    elif feature.nullable:
        parts.append("May be left out")
    return ". ".join(part[0].upper() + part[1:].rstrip(".") for part in parts if part)


def record_schema(signature: Signature) -> JsonSchema:
    """Return the JSON Schema of a request body."""
    properties: dict[str, JsonSchema] = {}
    for name, feature in signature.features.items():
        default = {"default": feature.fill} if feature.optional else {}
        properties[name] = {"title": name, **default, **feature_schema(feature)}
    if signature.key is not None:
        properties[signature.key] = {"title": signature.key, **key_schema()}
    return {
        "title": f"{signature.name} record",
        "type": "object",
        "properties": properties,
        "required": [name for name, each in signature.features.items() if not each.optional],
        "additionalProperties": False,
    }


def answer_schema(signature: Signature) -> JsonSchema:
    """Return the JSON Schema of the answer to one record."""
    share = {"type": "number", "minimum": 0, "maximum": 1}
    properties: dict[str, JsonSchema] = {signature.target.name: _target_schema(signature)}
    if signature.probabilities and signature.target.task == "binary":
        text = f"Probability that {signature.target.name} is {text_of(signature.classes[-1])}"
        properties["probability"] = share | {"description": text}
    elif signature.probabilities:
        properties["probability"] = share | {"description": "Probability of the predicted class"}
        properties["probabilities"] = {
            "type": "object",
            "additionalProperties": share,
            "description": "Probability of each class",
        }
    properties |= {
        "id": {"type": "string", "description": "Names this one prediction"},
        "model": {"type": "string", "const": signature.name},
        "version": {"type": "string", "description": "Version of the model that predicted"},
    }
    required = list(properties)
    if signature.target.name != EXPLANATION:
        properties[EXPLANATION] = explanation_schema(signature)
    return {
        "title": f"{signature.name} prediction",
        "type": "object",
        "properties": properties,
        "required": required,
    }


EXPLAIN = "explain"  # the parameter of the query
EXPLANATION = "explanation"  # the key of an answer
EXACT, SAMPLED = METHODS = ("exact", "sampled")
SCALES = ("value", "probability", "log-odds", "log-ratio", "vote")


def explanation_schema(signature: Signature) -> JsonSchema:
    """Return the JSON Schema of what is said of an answer that is explained."""
    number = {"type": "number"}
    numbers = {"type": "object", "additionalProperties": number}
    properties: dict[str, JsonSchema] = {}
    if signature.classes:
        text = "The class whose number is explained"
        properties["class"] = classes_schema(signature.classes) | {"description": text}
    properties |= {
        "scale": {
            "type": "string",
            "enum": list(SCALES),
            "description": "What the numbers are: the predicted value; the probability of the "
            "class, its log-odds, or the logarithm of it over the geometric mean of those of all; "
            "or 1 where the class is predicted, else 0",
        },
        "method": {"type": "string", "enum": list(METHODS)},
        "base": number | {"description": "The mean over the reference of the model"},
        "value": number | {"description": "The base and all contributions together"},
        "contributions": numbers | {"description": "What each feature adds"},
    }
    required = list(properties)
    properties |= {
        "base_standard_error": number | {"description": "Of the base, where it is sampled"},
        "standard_errors": numbers | {"description": "Of contributions that are sampled"},
    }
    return {
        "title": f"{signature.name} explanation",
        "type": "object",
        "description": "How the answer came about; there with `explain=true` alone",
        "properties": properties,
        "required": required,
    }


def _target_schema(signature: Signature) -> JsonSchema:
    target = signature.target
    text = ". ".join(part for part in (target.description, target.unit) if part)
    if target.task == "regression":
        schema: JsonSchema = {"type": "number"}
    else:
        schema = classes_schema(signature.classes)
        if "enum" not in schema:
            names = ", ".join(map(text_of, signature.classes))
            text = f"{text}. One of: {names}" if text else f"One of: {names}"
    return schema | ({"description": text} if text else {})


def classes_schema(classes: Sequence[Value]) -> JsonSchema:
    """Return the schema of one of some classes.

    It names their type, and lists no numbers with a fraction: generators of clients drop an
    operation for such a list.
    """
    kinds = {type(each) for each in classes}
    if len(kinds) == 1 and (kind := ENUMERATED.get(*kinds)) is not None:
        return {"type": kind, "enum": list(classes)}
    numbers = [each for each in classes if isinstance(each, float)]
    if len(numbers) == len(classes):
        return {"type": "number", "minimum": min(numbers), "maximum": max(numbers)}
    return {}


def _field(feature: Feature) -> Any:
    kind = feature.kind.annotation(feature)
    return NotRequired[kind | None] if feature.optional else kind


def _key(given: object) -> str | None:
    """Return a key as it is known."""
    if given is not None and key_text(given) is None:
        raise PydanticCustomError("key", f"Input should be {KEY_WANTED}")
    return key_text(given)


def example_record(signature: Signature) -> dict[str, Value | None]:
    """Return the example of a model as a person writes it: 4 rather than 4.0 for a whole number."""
    whole = {name for name, feature in signature.features.items() if feature.kind.whole}
    return {
        name: int(value) if name in whole and value is not None else value
        for name, value in signature.example.record.items()
    }


def curl(signature: Signature, *, url: str) -> str:
    """Return a command, ready to paste, that posts the example of a model to `url`."""
    record = to_json(example_record(signature)).decode()
    header = shlex.quote("Content-Type: application/json")
    return f"curl {shlex.quote(url)} -H {header} \\\n  -d {shlex.quote(record)}"


EXTRA = "extra"  # the parameter of the query
AUTO, IGNORE, REFUSE = CHOICES = ("auto", "ignore", "refuse")
EXTRA_COLUMNS = 256  # that a table, or a record, may have beside its features
LEAVE_OUT = "Leave it out, or have it ignored with ?extra=ignore"
IGNORED = "Ignored-Columns"  # the header that names them
IGNORED_SCHEMA = {
    "description": "Columns that are no features, URL-encoded and joined by commas; absent where "
    "there are none",
    "schema": {"type": "string"},
}
NOTHING: tuple[str, ...] = ()
MOST_NAMED = 32  # columns in that header
# What pandas calls an index without a name: in CSV, in Parquet and Arrow.
INDEX = re.compile(r"|__index_level_\d+__")


def ignored_of(names: Iterable[str], signature: Signature, *, extra: str) -> tuple[str, ...]:
    """Return the columns, or keys of a record, that are no features and are to be let be.

    With "auto" these are let be where every feature is there, optional ones too: then none of them
    can be a feature whose name is misspelt. The index of a frame, which pandas writes beside its
    columns, is none of them in any case.
    """
    there = dict.fromkeys(names)
    known = frozenset(signature.record_names)
    if extra == IGNORE or (extra == AUTO and all(name in there for name in signature.features)):
        return tuple(name for name in there if name not in known)
    index = there if extra == AUTO else ()
    return tuple(name for name in index if INDEX.fullmatch(name) and name not in known)


def ignored_header(names: Iterable[str]) -> str:
    """Return the value of the header that names what was ignored, empty for nothing."""
    return ",".join(quote(name, safe=" ()[]/:") for name in islice(names, MOST_NAMED))


def ignored_headers(names: tuple[str, ...]) -> tuple[tuple[bytes, bytes], ...]:
    """Return that header as it is sent, none for nothing."""
    return ((IGNORED.lower().encode(), ignored_header(names).encode()),) if names else ()


def asks_to_explain(query: bytes) -> bool:
    """Tell whether a query asks to explain, in whatever words."""
    given = parse_qs(query.decode("latin-1"), keep_blank_values=True).get(EXPLAIN, ["false"])
    return YES_OR_NO.get(given[-1].lower(), True)


YES, NO = ("true", "1", "yes", "on"), ("false", "0", "no", "off")  # as batches take them
YES_OR_NO = dict.fromkeys(YES, True) | dict.fromkeys(NO, False)


@dataclass(frozen=True)
class Options:
    """What a request for one record asks beside the prediction."""

    extra: str = REFUSE
    explain: bool = False

    @classmethod
    def of(cls, query: bytes) -> Self:
        """Read them from the query of a request; raises InvalidInputError."""
        given = parse_qs(query.decode("latin-1"), keep_blank_values=True)
        extra, explain = given.get(EXTRA, [REFUSE])[-1], given.get(EXPLAIN, ["false"])[-1].lower()
        for name, value, admitted in (
            (EXTRA, extra, CHOICES),
            (EXPLAIN, explain, tuple(YES_OR_NO)),
        ):
            if value not in admitted:
                text = f"{value[:40]!r} is not admitted; give one of {', '.join(admitted)}"
                raise InvalidInputError([Problem(name, text, value[:40])])
        return cls(extra, YES_OR_NO[explain])
