"""What pydantic says of a body → our own errors: field, value, and what is admitted."""

from collections.abc import Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from api.contract.extras import LEAVE_OUT
from api.errors import MalformedBodyError
from treeline.contract.features import Feature
from treeline.contract.problems import key_problem, listed, named, shown, value_problem
from treeline.errors import InvalidInputError, Problem, TreelineError

BODY = "body"
MAX_PROBLEMS = 100  # a body of garbage must not make an answer many times its size


def explain(error: ValidationError, features: Mapping[str, Feature]) -> TreelineError:
    """Return the error to raise for a body that is not a record of these features."""
    found = error.errors(include_url=False, include_context=False)
    if found[0]["type"] == "json_invalid":
        reason = found[0]["msg"].removeprefix("Invalid JSON: ")
        return MalformedBodyError(f"The body is not JSON: {reason}")
    wrong = [problem_of(entry, features) for entry in found[:MAX_PROBLEMS]]
    if len(found) > MAX_PROBLEMS:
        wrong.append(Problem(BODY, f"and {len(found) - MAX_PROBLEMS} more problems"))
    return InvalidInputError(wrong)


def problem_of(entry: ErrorDetails, features: Mapping[str, Feature]) -> Problem:
    """Return the problem behind one entry of a validation error."""
    kind, value = entry["type"], entry["input"]
    if not entry["loc"]:
        wanted = "one JSON object whose keys are the features"
        wrong = named(value) if kind == "dict_type" else "not admitted"
        return Problem(BODY, f"{shown(value)} is {wrong}; give {wanted}", value)
    name = str(entry["loc"][0])
    if kind == "extra_forbidden":
        known = listed(features)
        text = f"is not a feature of this model; its features are: {known}. {LEAVE_OUT}"
        return Problem(name, text, value)
    feature = features.get(name)
    if feature is None:  # then it is the caller's own key
        return key_problem(name, value)
    return value_problem(name, feature, None if kind == "missing" else value)
