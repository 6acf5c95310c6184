"""Signature → what goes over the wire: the model that checks a request, both JSON Schemas."""

from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    WithJsonSchema,
    create_model,
)
from pydantic_core import PydanticCustomError

from treeline.artifact.encoding import Record
from treeline.artifact.features import FLOAT32_MAX, Feature
from treeline.artifact.signature import Signature

JsonSchema = dict[str, Any]
JSON_TYPES = {"number": "number", "integer": "integer", "boolean": "boolean", "category": "string"}
OWN_KEYS = frozenset({"id", "model", "version", "probability", "probabilities"})


class RecordModel(BaseModel):
    """What every generated request model is: closed, strict, and told by the features' own names.

    Its fields are numbered and the names are aliases, so that a column may be called anything:
    `petal length (cm)`, `class`, `copy` or `_`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def record(self) -> Record:
        """Return the values by feature name; a value that was left out is its fill or None."""
        return self.model_dump(by_alias=True)


def record_model(signature: Signature) -> type[RecordModel]:
    """Return the model that one request body of a model is validated against."""
    fields: dict[str, Any] = {
        f"feature_{position}": (
            Annotated[_annotation(feature), WithJsonSchema(feature_schema(feature))],
            Field(alias=name, title=name, default=feature.fill if feature.optional else ...),
        )
        for position, (name, feature) in enumerate(signature.features.items())
    }
    return create_model(f"{signature.name} record", __base__=RecordModel, **fields)


def feature_schema(feature: Feature) -> JsonSchema:
    """Return the JSON Schema of the values of one feature."""
    kind = JSON_TYPES[feature.type]
    schema: JsonSchema = {"type": [kind, "null"] if feature.optional else kind}
    if feature.categories:
        schema["enum"] = [*feature.categories, *([None] if feature.optional else [])]
    limits = {"minimum": feature.minimum, "maximum": feature.maximum}
    schema |= {key: limit for key, limit in limits.items() if limit is not None}
    if text := feature_text(feature):
        schema["description"] = text
    return schema


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
    schema = record_model(signature).model_json_schema(by_alias=True)
    schema.pop("description", None)  # the docstring of RecordModel is for readers of the code
    return schema


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


def _annotation(feature: Feature) -> Any:
    kind: Any
    if feature.type == "category":
        kind = Literal[feature.categories]
    elif feature.type == "boolean":
        kind = StrictBool
    else:
        limits = Field(
            strict=True,
            allow_inf_nan=False,
            ge=-FLOAT32_MAX if feature.minimum is None else feature.minimum,
            le=FLOAT32_MAX if feature.maximum is None else feature.maximum,
        )
        kind = Annotated[float, limits]
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
