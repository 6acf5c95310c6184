"""The JSON of one record → the checked record, or a bounded list of what is wrong with it.

A record of usual length is read in one step. A longer one, and one that is refused, is taken apart
first: what a contract has no name for is looked at, never handed on, so that the work and the
problems are bounded by the contract and not by what somebody sends.
"""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from api.contract.extras import EXTRA_COLUMNS, LEAVE_OUT, REFUSE, ignored_of
from api.contract.schemas import record_validator
from api.contract.validation import BODY, MAX_PROBLEMS, problem_of
from api.errors import MalformedBodyError
from treeline.contract.encoding import Record
from treeline.contract.features import Feature
from treeline.contract.keys import KEY_CHARACTERS
from treeline.contract.problems import listed, named, shown
from treeline.contract.signature import Signature
from treeline.errors import InvalidInputError, Problem

WANTED = "give one JSON object whose keys are the features"
WIDE = 64  # features: with more, one step takes longer than two, as it looks for each among all
VALUE_BYTES = 32  # that any number takes
LONG_BYTES = 64 << 10  # whose structure is looked at before it is read
PART = 256  # features whose values are judged at a time, when much is wrong
STRUCTURE = {
    b":": "has {count} keys or thereabouts, and this model {features} features",
    b"{": "holds objects, and values of features are none",
    b"[": "holds lists, and values of features are none",
}


class Records:
    """Reads the records of one contract."""

    def __init__(self, signature: Signature) -> None:
        validator = record_validator(signature).validator
        self.validate: Callable[[object], Record] = validator.validate_python
        self._read: Callable[[bytes], Record] = validator.validate_json
        self._features: Mapping[str, Feature] = signature.features
        self._signature = signature
        self._names = signature.record_names
        self._example = dict(signature.example.record)
        self._most = {each: most_of(each, signature) for each in STRUCTURE}
        self._usual_bytes = 0
        if len(signature.features) <= WIDE:
            self._usual_bytes = 2 * sum(bytes_of(*each) for each in signature.features.items())
            if signature.key is not None:
                self._usual_bytes += len(to_json(signature.key)) + KEY_CHARACTERS

    def read(self, body: bytes) -> Record:
        """Read one record of JSON; raises MalformedBodyError and InvalidInputError."""
        if len(body) <= self._usual_bytes:
            try:
                return self._read(body)
            except ValidationError:
                pass
        if len(body) > LONG_BYTES:
            self._check_structure(body)
        try:
            record = from_json(body)
        except ValueError as error:
            raise MalformedBodyError(f"The body is not JSON: {error}") from error
        if not isinstance(record, dict):
            text = f"{shown(record)} is {named(record)}; {WANTED}"
            raise InvalidInputError([Problem(BODY, text, record)])
        return self._checked(record)

    def without_extra(self, body: bytes, *, extra: str) -> tuple[bytes, tuple[str, ...]]:
        """Return the JSON of a record without the keys that are to be ignored, and these.

        What cannot be read, or has very many keys, comes back as it is: reading it says why.
        """
        if extra == REFUSE or (
            len(body) > LONG_BYTES
            and any(body.count(sign) > most + EXTRA_COLUMNS for sign, most in self._most.items())
        ):
            return body, ()
        try:
            record = from_json(body)
        except ValueError:
            return body, ()
        if not isinstance(record, dict):
            return body, ()
        ignored = ignored_of(record, self._signature, extra=extra)
        if not ignored or len(ignored) > EXTRA_COLUMNS:
            return body, ()
        known = {name: record[name] for name in self._names if name in record}
        return to_json(known, inf_nan_mode="constants"), ignored

    def _check_structure(self, body: bytes) -> None:
        """Refuse what holds more than any record can; raises InvalidInputError."""
        for sign, most in self._most.items():
            if (count := body.count(sign)) > most:
                wrong = STRUCTURE[sign].format(count=count, features=len(self._features))
                raise InvalidInputError([Problem(BODY, f"{wrong}; {WANTED}")])

    def _checked(self, record: dict[str, Any]) -> Record:
        """Return a record that was read; raises InvalidInputError."""
        known = {name: fitting(record[name]) for name in self._names if name in record}
        strangers = len(record) - len(known)
        if not strangers:
            try:
                return self.validate(known)
            except ValidationError as error:
                raise InvalidInputError(bounded(self._faults(error, known))) from None
        problems: list[Problem] = []
        try:
            self.validate(known)
        except ValidationError as error:
            problems = self._faults(error, known)
        names = (name for name in record if name not in self._names)
        known_names = listed(self._features)
        text = f"is not a feature of this model; its features are: {known_names}. {LEAVE_OUT}"
        problems += [Problem(name, text, record[name]) for name in islice(names, MAX_PROBLEMS)]
        more = max(0, strangers - MAX_PROBLEMS)
        raise InvalidInputError(bounded(problems, more=more))

    def _faults(self, error: ValidationError, known: dict[str, Any]) -> list[Problem]:
        """Return what is wrong with values of features: all, or enough where it is very much."""
        if error.error_count() <= 2 * PART:
            return problems_of(error, self._features)
        missing = [name for name in self._features if name not in known]
        names = [*known, *(name for name in missing if not self._features[name].optional)]
        problems: list[Problem] = []
        for start in range(0, len(names), PART):
            part = set(names[start : start + PART])
            example = {name: value for name, value in self._example.items() if name not in part}
            try:
                self.validate(example | {name: known[name] for name in part & known.keys()})
            except ValidationError as refused:
                problems += problems_of(refused, self._features)
            if len(problems) > MAX_PROBLEMS:
                break
        return problems


def problems_of(error: ValidationError, features: Mapping[str, Feature]) -> list[Problem]:
    """Return the problems behind an error whose number of entries is bounded."""
    found = error.errors(include_url=False, include_context=False)
    return [problem_of(entry, features) for entry in found]


def bounded(problems: list[Problem], *, more: int = 0) -> list[Problem]:
    """Return the first problems, and how many there are besides; `more` are in no list."""
    more += len(problems) - MAX_PROBLEMS
    if more <= 0:
        return problems
    return [*problems[:MAX_PROBLEMS], Problem(BODY, f"and {more} more problems")]


def fitting(value: object) -> object:
    """Return a value, infinity in place of a whole number that no float holds."""
    if type(value) is int:
        try:
            float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
    return value


def bytes_of(name: str, feature: Feature) -> int:
    """Return how long a key and its value are in usual JSON."""
    longest = max((len(to_json(each)) for each in feature.categories or ()), default=0)
    return len(to_json(name)) + max(longest, VALUE_BYTES) + 4  # colon, comma, spaces


def most_of(sign: bytes, signature: Signature) -> int:
    """Return how often a sign can stand in a record: where JSON needs it, and in its texts."""
    features, names = signature.features, signature.record_names
    needed = {b":": len(names), b"{": 1, b"[": 0}[sign]
    texts = [name.encode().count(sign) for name in names]
    if signature.key is not None and sign == b":":
        texts.append(KEY_CHARACTERS)
    for feature in features.values():
        counts = (each.encode().count(sign) for each in feature.categories or ())
        texts.append(max(counts, default=0))
    return needed + sum(texts)
