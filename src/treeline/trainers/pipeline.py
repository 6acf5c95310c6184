"""A declared candidate → an unfitted scikit-learn pipeline, and the settings to try."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
from scipy.stats import loguniform, randint, uniform
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.pipeline import Pipeline

from treeline.config.models import Candidate, Search, Span, Step
from treeline.contract.features import Feature
from treeline.errors import TrainingError
from treeline.registry import load_class
from treeline.trainers.adopted import Adopted
from treeline.trainers.columns import NamedColumns, TypedColumns
from treeline.trainers.options import check_positions


@dataclass(frozen=True)
class WholeLogUniform:
    """Whole numbers from `low` to `high`, each as likely as its share of a logarithmic scale."""

    low: int
    high: int

    def rvs(self, random_state: np.random.RandomState) -> int:
        """Draw one number."""
        ends = np.log([self.low - 0.5, self.high + 0.5])
        drawn = round(float(np.exp(random_state.uniform(*ends))))
        return min(max(drawn, self.low), self.high)


def build(
    candidate: Candidate, features: Mapping[str, Feature], *, seed: int, place: str
) -> Pipeline:
    """Return names → preprocessors → typed columns → estimator, unfitted.

    An estimator that takes `random_state` gets the declared seed, and one from outside scikit-learn
    that takes `n_jobs` one thread, unless its options say otherwise: threads of an estimator fight
    with those of the folds, and change sums by an ulp. Raises UnknownNameError and TrainingError
    naming `place`.
    """
    steps: list[tuple[str, Any]] = [("names", NamedColumns(list(features)))]
    for number, step in enumerate(candidate.preprocessors, start=1):
        preprocessor = made(step, place=f"{place}.preprocessors")
        steps.append((f"preprocessor{number}", _framed(preprocessor)))
    categories = {name: len(f.categories) for name, f in features.items() if f.categories}
    numbers = [made(step, place=f"{place}.numbers") for step in candidate.numbers]
    onehot = candidate.categories == "onehot"
    steps.append(("columns", TypedColumns(categories, numbers, onehot=onehot)))
    declared = Step.model_validate({"class": candidate.estimator, "options": candidate.options})
    estimator = made(declared, place=f"{place}.estimator")
    if not hasattr(estimator, "get_params"):
        estimator = Adopted(estimator)
    _steady(estimator, seed=seed, options=candidate.options)
    return Pipeline([*steps, ("estimator", estimator)])


def settings(candidate: Candidate, search: Search) -> list[dict[str, Any]]:
    """Return the settings to try, in order: the whole grid, or `trials` draws from it.

    A random search over lists that has no more combinations than trials tries them all.
    """
    whole = grid(candidate)
    if whole is not None and (search.strategy == "grid" or len(whole) <= search.trials):
        return list(whole)
    return list(ParameterSampler(distributions(candidate), search.trials, random_state=search.seed))


def grid(candidate: Candidate) -> ParameterGrid | None:
    """Return every combination of what is listed, or None where a range has no end of them."""
    if any(isinstance(values, Span) for values in candidate.search.values()):
        return None
    return ParameterGrid({key: list(values) for key, values in candidate.search.items()})


def distributions(candidate: Candidate) -> dict[str, Any]:
    """Return what each hyperparameter is drawn from: a list or a scipy distribution."""
    return {key: _drawn_from(values) for key, values in candidate.search.items()}


def _drawn_from(values: Sequence[Any] | Span) -> Any:
    if not isinstance(values, Span):
        return list(values)
    if values.integer:
        low, high = values.whole
        return WholeLogUniform(low, high) if values.log else randint(low, high + 1)
    if values.log:
        return loguniform(values.low, values.high)
    return uniform(values.low, values.high - values.low)


def made(step: Step, *, place: str) -> Any:
    """Return an object of the declared class; raises UnknownNameError and TrainingError."""
    declared = load_class(step.class_path, place=place)
    check_positions(step, place=place)
    try:
        return declared(**step.options)
    except (TypeError, ValueError) as error:
        taken = ", ".join(name for name in signature(declared).parameters if name != "kwargs")
        raise TrainingError(
            f"{place}: {step.class_path} cannot be made: {error}; it takes {taken or 'no options'}"
        ) from error


def _framed(transformer: Any) -> Any:
    """Let a library transformer return a frame, so that columns keep their names."""
    if hasattr(transformer, "set_output"):
        transformer.set_output(transform="pandas")
    return transformer


def _steady(estimator: Any, *, seed: int, options: Mapping[str, Any]) -> None:
    if hasattr(estimator, "get_params"):
        wanted = {"random_state": seed}
        if not type(estimator).__module__.startswith("sklearn."):
            wanted["n_jobs"] = 1
        open_ = set(estimator.get_params()) - set(options)
        estimator.set_params(**{key: value for key, value in wanted.items() if key in open_})
