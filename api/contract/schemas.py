"""Signature → what goes over the wire: the model that checks a request, both JSON Schemas."""

from math import isfinite
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, StrictBool, TypeAdapter, with_config
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from treeline.artifact.features import FLOAT32_MAX, Feature, Value
from treeline.artifact.signature import Signature

JsonSchema = dict[str, Any]
JSON_TYPES = {"number": "number", "integer": "integer", "boolean": "boolean", "category": "string"}
WHOLE_MAX = 2**53 - 1
OWN_KEYS = frozenset({"id", "model", "version", "probability", "probabilities"})


def record_validator(signature: Signature) -> TypeAdapter[dict[str, Value | None]]:
    """Return what reads one request body: closed, strict, the features under their own names.

    A dictionary with declared keys, since a column may be called anything (`petal length (cm)`,
    `class`, `_`), and since it is read in a fraction of what a model takes.
    """
    fields = {name: _field(feature) for name, feature in signature.features.items()}
    declare: Any = TypedDict  # with a name and keys that are known only here
    declared: Any = declare(f"{signature.name} record", fields)
    return TypeAdapter(with_config(ConfigDict(extra="forbid", strict=True))(declared))


def feature_schema(feature: Feature) -> JsonSchema:
    """Return the JSON Schema of the values of one feature."""
    kind = JSON_TYPES[feature.type]
    schema: JsonSchema = {"type": [kind, "null"] if feature.optional else kind}
    if feature.categories:
        schema["enum"] = [*feature.categories, *([None] if feature.optional else [])]
    if kind in {"number", "integer"}:
        schema["minimum"], schema["maximum"] = limits(feature)
    if text := feature_text(feature):
        schema["description"] = text
    return schema


def limits(feature: Feature) -> tuple[float, float]:
    """Return the least and the largest number admitted: what is declared, or what fits.

    A number fits where float32 holds it, a whole one where JSON's readers tell it from the next.
    """
    most = WHOLE_MAX if feature.type == "integer" else FLOAT32_MAX
    lowest = -most if feature.minimum is None else feature.minimum
    return lowest, most if feature.maximum is None else feature.maximum


def feature_text(feature: Feature) -> str:
    """Say in one line what a feature is, its unit, and what happens when it is left out."""
    parts = [feature.description, f"Unit: {feature.unit}" if feature.unit else ""]
    if feature.fill is not None:
        parts.append(f"When left out, {_plain(feature.fill)} is taken")
    elif feature.nullable:
        parts.append("May be left out")
    return ". ".join(part[0].upper() + part[1:].rstrip(".") for part in parts if part)


def record_schema(signature: Signature) -> JsonSchema:
    """Return the JSON Schema of a request body."""
    properties: dict[str, JsonSchema] = {}
    for name, feature in signature.features.items():
        default = {"default": feature.fill} if feature.optional else {}
        properties[name] = {"title": name, **default, **feature_schema(feature)}
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
        text = f"Probability that {signature.target.name} is {_plain(signature.classes[-1])}"
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
    return {
        "title": f"{signature.name} prediction",
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }


def _target_schema(signature: Signature) -> JsonSchema:
    target = signature.target
    text = ". ".join(part for part in (target.description, target.unit) if part)
    described: JsonSchema = {"description": text} if text else {}
    if target.task == "regression":
        return {"type": "number"} | described
    return {"enum": list(signature.classes)} | described


def _field(feature: Feature) -> Any:
    kind = _annotation(feature)
    return NotRequired[kind] if feature.optional else kind


def _annotation(feature: Feature) -> Any:
    kind: Any
    if feature.type == "category":
        kind = Literal[feature.categories]
    elif feature.type == "boolean":
        kind = StrictBool
    else:
        lowest, highest = limits(feature)
        field = Field(strict=True, allow_inf_nan=False, ge=lowest, le=highest)
        kind = Annotated[float, field]
        if feature.type == "integer":  # 3.0 is a whole number to JSON, and what data frames send
            kind = Annotated[kind, AfterValidator(_whole)]
    return kind | None if feature.optional else kind


def _whole(number: float) -> float:
    if isfinite(number) and number != int(number):
        raise PydanticCustomError("whole_number", "Input should be a whole number")
    return number


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).lower() if isinstance(value, bool) else str(value)
