"""What pydantic says of a body → our own errors: field, value, and what is admitted."""

from collections.abc import Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails, to_json

from api.contract.schemas import WHOLE_MAX
from api.errors import MalformedBodyError
from treeline.artifact.features import FLOAT32_MAX, Feature
from treeline.errors import InvalidInputError, Problem, TreelineError

BODY = "body"
MAX_PROBLEMS = 100  # a body of garbage must not make an answer many times its size
MAX_SHOWN = 80  # characters of a value that a message repeats

KINDS = (
    (bool, "a boolean"),
    (str, "a text"),
    (list, "a list"),
    (dict, "an object"),
    (int | float, "a number"),
)
OF_WRONG_TYPE = frozenset({"float_type", "bool_type", "dict_type"})
BOUND_OF = {"greater_than_equal": "minimum", "less_than_equal": "maximum"}


def explain(error: ValidationError, features: Mapping[str, Feature]) -> TreelineError:
    """Return the error to raise for a body that is not a record of these features."""
    found = error.errors(include_url=False, include_context=False)
    if found[0]["type"] == "json_invalid":
        reason = found[0]["msg"].removeprefix("Invalid JSON: ")
        return MalformedBodyError(f"The body is not JSON: {reason}")
    problems = [problem_of(entry, features) for entry in found[:MAX_PROBLEMS]]
    if len(found) > MAX_PROBLEMS:
        problems.append(Problem(BODY, f"and {len(found) - MAX_PROBLEMS} more problems"))
    return InvalidInputError(problems)


def problem_of(entry: ErrorDetails, features: Mapping[str, Feature]) -> Problem:
    """Return the problem behind one entry of a validation error."""
    kind, value = entry["type"], entry["input"]
    if not entry["loc"]:
        wanted = "one JSON object whose keys are the features"
        return Problem(BODY, f"{refusal(kind, value)}; give {wanted}", value)
    name = str(entry["loc"][0])
    if kind == "extra_forbidden":
        known = ", ".join(features)
        return Problem(name, f"is not a feature of this model; its features are: {known}", value)
    feature = features[name]
    if kind == "missing":
        message, value = f"is missing; give {feature.describe()}", None
    else:
        message = f"{refusal(kind, value)}; give {wanted_of(feature, kind)}"
    return Problem(name, message, value, admitted=feature.categories or None)


def refusal(kind: str, value: object) -> str:
    """Say what a value is, where its type is wrong, or else that it is not admitted."""
    return f"{shown(value)} is {named(value) if kind in OF_WRONG_TYPE else 'not admitted'}"


def wanted_of(feature: Feature, kind: str) -> str:
    """Say what a feature admits, and the limit of the matrix where no declared bound was broken."""
    wanted = feature.describe()
    if kind in BOUND_OF and getattr(feature, BOUND_OF[kind]) is None:
        if feature.type == "integer":
            wanted += f", at most {WHOLE_MAX} in size"
        else:
            wanted += f" that fits float32: at most {FLOAT32_MAX:g} in size"
    return wanted + (", or leave it out" if feature.optional else "")


def named(value: object) -> str:
    """Name the JSON type of a value."""
    return next((name for cls, name in KINDS if isinstance(value, cls)), "null")


def shown(value: object) -> str:
    """Return a value as JSON shows it, cut short when it is long."""
    text = to_json(value, inf_nan_mode="constants", fallback=str).decode()
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
