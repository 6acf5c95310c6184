"""Truths as they were sent → truths of the types of their classes; what is none is refused.

The id of a prediction begins with the tag of its model, so most are judged without the database.
For one of an earlier release, or of a model that is served no more, what was predicted is looked
up; a truth whose prediction is not there yet is taken as it is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from fastapi import Request
from pydantic_core import from_json

from api.contract.truths import TAG_DIGITS, Truths, WrongTruthError, like
from api.contract.validation import MAX_PROBLEMS
from api.deps import services_of
from api.prediction_log.log import PredictionLog, Row
from api.prediction_log.writing import TruthEntry
from treeline.contract.features import Label
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
            await services.freshness.model(name)
        served = [entry.predictor for entry in models.entries() if entry.predictor is not None]
        by_name = {each.signature.name: each for each in served}
        return cls(
            by_tag={each.tag: each.truths for each in served},
            by_model={name: each.truths for name, each in by_name.items()},
            versions={name: each.signature.version for name, each in by_name.items()},
            keys={name: each.signature.key for name, each in by_name.items()},
            default=models.default_name,
        )

    def judged(self, told: Sequence[TruthEntry], log: PredictionLog) -> list[TruthEntry]:
        """Return the truths as they are kept; raises InvalidInputError for what is none."""
        unknown = [each.id for each in told if each.id and each.id[:TAG_DIGITS] not in self.by_tag]
        recorded = log.predicted(unknown)
        problems: list[Problem] = []
        kept: list[TruthEntry] = []
        for each in told:
            try:
                kept.append(self._judged(each, recorded.get(each.id or "")))
            except WrongTruthError as error:
                problems.append(Problem(each.place, str(error), each.truth, error.admitted))
            except InvalidInputError as error:
                problems += error.problems
            if len(problems) > MAX_PROBLEMS:
                problems[MAX_PROBLEMS:] = [Problem("body", "and there may be more problems")]
                break
        if problems:
            raise InvalidInputError(problems)
        return kept

    def _judged(self, told: TruthEntry, recorded: Row | None) -> TruthEntry:
        if told.id is None:
            model = self._keyed(told)
            return replace(told, model=model, truth=self.by_model[model].taken(told.truth))
        truths = self.by_tag.get(told.id[:TAG_DIGITS])
        if truths is not None:
            return replace(told, truth=truths.taken(told.truth))
        return told if recorded is None else replace(told, truth=self._like(told.truth, recorded))

    def _keyed(self, told: TruthEntry) -> str:
        """Return the model that is meant; raises InvalidInputError for one that has no key."""
        place, model = told.place.removesuffix("truth"), told.model or self.default
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
