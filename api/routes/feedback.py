"""`POST /v1/feedback`: what proved to be true, by the id of the prediction or the caller's key.

A truth becomes one of the type of its class, or is refused. The id of a prediction begins with the
tag of its model, so most are judged without the database. For one of an earlier release, or of a
model that is served no more, what was predicted is looked up; a truth whose prediction is not
there yet is taken as it is.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError, from_json, to_json

from api.contract.faults import MAX_PROBLEMS, place_of
from api.contract.truths import TAG_DIGITS, Truths, WrongTruthError, like
from api.errors import MalformedBodyError, UnsupportedMediaTypeError
from api.http.documents import LONG_BYTES, narrowed
from api.http.media_types import media_type
from api.prediction_log.log import PredictionLog, Row
from api.prediction_log.writing import TruthEntry
from api.routes.deps import KeyRequired, LogDep, services_of
from api.routes.openapi import failures
from treeline.contract.features import KEY_PATTERN, KEY_WANTED, Label, key_text
from treeline.contract.problems import shown
from treeline.errors import InvalidInputError, Problem


@dataclass(frozen=True)
class Judge:
    """What is served at the moment of a request: truths by the tag of ids, and by model."""

    by_tag: dict[str, Truths]
    by_model: dict[str, Truths]
    versions: dict[str, str]
    keys: dict[str, str | None]
    default: str | None

    @classmethod
    async def of(cls, request: Request, named: Iterable[str | None]) -> "Judge":
        """Return what judges truths; of models named, those that another process has are sought."""
        services = services_of(request)
        models = services.catalogue
        unknown = (name for name in named if name and models.find(name) is None)
        for name in islice(unknown, MAX_PROBLEMS):
            await services.watcher.model(name)
        served = [entry.predictor for entry in models.entries() if entry.predictor is not None]
        by_name = {each.signature.name: each for each in served}
        return cls(
            by_tag={each.tag: each.truths for each in served},
            by_model={name: each.truths for name, each in by_name.items()},
            versions={name: each.signature.version for name, each in by_name.items()},
            keys={name: each.signature.key for name, each in by_name.items()},
            default=models.default_name,
        )

    def judged(self, truths: Sequence[TruthEntry], log: PredictionLog) -> list[TruthEntry]:
        """Return the truths as they are kept; raises InvalidInputError for what is none."""
        unknown = [
            each.id for each in truths if each.id and each.id[:TAG_DIGITS] not in self.by_tag
        ]
        recorded = log.predicted(unknown)
        problems: list[Problem] = []
        judged: list[TruthEntry] = []
        for each in truths:
            try:
                judged.append(self._judged(each, recorded.get(each.id or "")))
            except WrongTruthError as error:
                problems.append(Problem(each.place, str(error), each.truth, error.admitted))
            except InvalidInputError as error:
                problems += error.problems
            if len(problems) > MAX_PROBLEMS:
                problems[MAX_PROBLEMS:] = [Problem("body", "and there may be more problems")]
                break
        if problems:
            raise InvalidInputError(problems)
        return judged

    def _judged(self, entry: TruthEntry, recorded: Row | None) -> TruthEntry:
        if entry.id is None:
            model = self._keyed(entry)
            return replace(entry, model=model, truth=self.by_model[model].taken(entry.truth))
        truths = self.by_tag.get(entry.id[:TAG_DIGITS])
        if truths is not None:
            return replace(entry, truth=truths.taken(entry.truth))
        return (
            entry if recorded is None else replace(entry, truth=self._like(entry.truth, recorded))
        )

    def _keyed(self, entry: TruthEntry) -> str:
        """Return the model that is meant; raises InvalidInputError for one that has no key."""
        place, model = entry.place.removesuffix("truth"), entry.model or self.default
        if model is None:
            text = "is missing, and no model is the default; name the model that predicted"
            raise InvalidInputError([Problem(f"{place}model", text)])
        if self.keys.get(model) is not None:
            return model
        why = "declares no key" if model in self.keys else "is not served here"
        known = ", ".join(name for name, key in self.keys.items() if key) or "none"
        text = f"{shown(model)} {why}; models that do: {known}. Or name the prediction by its `id`"
        raise InvalidInputError([Problem(f"{place}model", text, model)])

    def _like(self, truth: Label, recorded: Row) -> Label:
        model = recorded["model"]
        if self.versions.get(model) == recorded["version"]:
            return self.by_model[model].taken(truth)
        shares = recorded["probabilities"]
        return like(
            truth, from_json(recorded["prediction"]), None if shares is None else from_json(shares)
        )


MOST = 10_000
MAX_TEXT = 200
MAX_REFUSED = 100
WANTED = f"give one object with `id` (or `key`) and `truth`, or a list of 1 to {MOST} of them"
LARGEST = 1e300  # well within what every reader of JSON takes for a number
NUMBER = {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}
TEXT = {"type": "string", "maxLength": MAX_TEXT}
VALUE: dict[str, Any] = {"anyOf": [{"type": "boolean"}, NUMBER, TEXT]}
WHOLE = {"type": "integer", "minimum": 1 - 2**53, "maximum": 2**53 - 1}
KEY: dict[str, Any] = {"anyOf": [{"type": "string", "pattern": KEY_PATTERN}, WHOLE]}
KEY_NAME = "key"


def _value(given: object) -> object:
    """Return a truth as it is, if it is one."""
    is_number = isinstance(given, (int, float)) and abs(given) <= LARGEST  # so no NaN either
    if not is_number and not (isinstance(given, str) and len(given) <= MAX_TEXT):
        raise PydanticCustomError(
            "truth",
            f"Input should be a number, a boolean or a text of at most {MAX_TEXT} characters",
        )
    return given


def _key(given: object) -> str:
    """Return a key as it is known."""
    if (text := key_text(given)) is None:
        raise PydanticCustomError("key", f"Input should be {KEY_WANTED}")
    return text


class _Feedback(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    truth: Annotated[Any, AfterValidator(_value)] = Field(
        description="What proved to be true: a class of the model, or the value of a regression",
        json_schema_extra=VALUE,
    )


class Feedback(_Feedback):
    """The truth for one prediction."""

    id: str = Field(
        pattern=r"^[A-Za-z0-9._:/+=@-]{1,200}$", description="The `id` of the prediction's answer"
    )


class FeedbackByKey(_Feedback):
    """The truth for the predictions that were asked for with one key."""

    key: Annotated[Any, AfterValidator(_key)] = Field(
        description="The key that the record had, where the model declares one",
        json_schema_extra=KEY,
    )
    model: str | None = Field(
        None, min_length=1, max_length=200, description="Without it, the default model is meant"
    )


class Accepted(BaseModel):
    """What was taken."""

    accepted: int = Field(description="How many truths")


BY_ID, BY_KEY = TypeAdapter(Feedback), TypeAdapter(FeedbackByKey)
KEYS = frozenset(Feedback.model_fields)
KEYS_BY_KEY = frozenset(FeedbackByKey.model_fields)
SCHEMAS = {"Feedback": BY_ID.json_schema(), "FeedbackByKey": BY_KEY.json_schema()}
REFERENCES = [{"$ref": f"#/components/schemas/{name}"} for name in SCHEMAS]
MANY = {"type": "array", "items": {"anyOf": REFERENCES}, "minItems": 1, "maxItems": MOST}
CONTENT = {
    "schema": {"anyOf": [*REFERENCES, MANY], "$defs": SCHEMAS},
    "example": {"id": "0123456789abcdef0123456789abcdef", "truth": 1},
}

router = APIRouter(tags=["log"], dependencies=[KeyRequired])


@router.post(
    "/v1/feedback",
    status_code=202,
    summary="Tell what proved to be true",
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": CONTENT}}},
    responses=dict(failures((400, 401, 403, 409, 413, 415, 422, 429, 503)).items()),
)
async def give_feedback(request: Request, log: LogDep) -> Accepted:
    """Take the truth for one prediction or many; it is joined to them by the id, or by the key.

    It may come before its prediction is in the database, or again: the latest one counts. One that
    the model cannot predict is refused, and none of the list is taken.
    """
    if (kind := media_type(request)) not in ("", "application/json"):
        raise UnsupportedMediaTypeError(
            f"The Content-Type is {kind!r}; send the truth as application/json."
        )
    bodies = services_of(request).bodies
    limit = replace(bodies.records, advice="send fewer truths at a time")
    body = await bodies.whole(request, limit)
    if len(body) > LONG_BYTES:
        written: bytes = await services_of(request).reading.apart(parse_apart, body)
        listed = from_json(written)
    else:
        listed = parse(body)
    judge = await Judge.of(request, {each[-1] for each in listed})

    def take() -> None:  # ten thousand take a while
        truths = judge.judged([TruthEntry(*each) for each in listed], log)
        log.feedback(truths, at=log.truth_time.now())

    await asyncio.to_thread(take)
    return Accepted(accepted=len(listed))


def parse(body: bytes) -> list[tuple[object, ...]]:
    """Return of each truth: its place, the truth, and the id or key and model of the prediction.

    Raises MalformedBodyError and InvalidInputError.
    """
    try:
        truths = from_json(body)
    except ValueError as error:
        raise MalformedBodyError(f"The body is not JSON: {error}; {WANTED}.") from error
    listed = truths if isinstance(truths, list) else [truths]
    if not 1 <= len(listed) <= MOST:
        raise InvalidInputError([Problem("body", f"has {len(listed)} truths; {WANTED}")])
    checked: list[tuple[object, ...]] = []
    problems: list[Problem] = []
    for at, each in enumerate(listed):
        place = (at,) if listed is truths else ()
        try:
            checked.append((".".join(map(str, (*place, "truth"))), *_read(each)))
        except ValidationError as error:
            problems += problems_of(error, place)
        if len(problems) > MAX_REFUSED:
            problems[MAX_REFUSED:] = [Problem("body", "and there may be more problems")]
            break
    if problems:
        first = problems[0]
        problems[0] = Problem(first.place, f"{first.message}; {WANTED}", first.value)
        raise InvalidInputError(problems)
    return checked


def _read(given: Any) -> tuple[object, ...]:
    """Return the truth, the id, the key and the model; raises ValidationError."""
    if isinstance(given, dict) and KEY_NAME in given and "id" not in given:
        keyed = BY_KEY.validate_python(narrowed(given, KEYS_BY_KEY))
        return keyed.truth, None, keyed.key, keyed.model
    truth = BY_ID.validate_python(narrowed(given, KEYS))
    return truth.truth, truth.id, None, None


def parse_apart(body: bytes) -> bytes:
    """Return the JSON of what `parse` gives, for another process."""
    return to_json(parse(body))


def problems_of(error: ValidationError, place: tuple[int, ...]) -> list[Problem]:
    """Return what is wrong with one truth."""
    problems: list[Problem] = []
    for entry in error.errors(include_url=False, include_context=False):
        where = place_of((*place, *entry["loc"]))
        if entry["type"] == "missing":
            problems.append(Problem(where, "is missing"))
        else:
            text = f"{shown(entry['input'])}: {entry['msg']}"
            problems.append(Problem(where, text, entry["input"]))
    return problems
