"""params.yaml → whether it is valid, what it declares, and what a stage would refuse."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.base import BaseEstimator, clone

from treeline.config import PARAMS, Params, read_params
from treeline.config.layout import SOURCES as SOURCE_FOLDERS
from treeline.config.models import CHOOSING, Candidate, ModelSpec, Span, Step
from treeline.config.sources import PythonSource, SimulateSource
from treeline.errors import ConfigError, SourceError, TrainingError, TreelineError
from treeline.preparation import PREPARERS
from treeline.preparation.columns import declared_columns
from treeline.registry import load_function, resolve
from treeline.sources import EXTRAS, SOURCES
from treeline.trainers import TRAINERS, options
from treeline.trainers.options import checkable_classes
from treeline.trainers.pipeline import made
from treeline.trainers.preprocessors import KeepColumns
from treeline.trainers.searching import judge_of, strategy_of
from treeline.trainers.translated import kind_of

AT_HAND = ("file", "library", "simulate")  # kinds of sources whose first rows cost nothing
FEW_ROWS = 1000  # enough for a simulator to show its columns


class Mistakes:
    """Those found so far, one text each: the place below the document, and the way out."""

    def __init__(self) -> None:
        """Begin with none."""
        self.texts: list[str] = []

    @contextmanager
    def noted(self, place: str) -> Iterator[None]:
        """Note what the block raises; a text that does not begin with `place` is given it."""
        try:
            yield
        except TreelineError as error:
            text = str(error)
            text = text if text.startswith(place) else f"{place}: {text}"
            if text not in self.texts:
                self.texts.append(text)


def mistakes(params: Params) -> list[str]:
    """Return what would fail, one text for each mistake."""
    collected = Mistakes()
    for name, spec in params.models.items():
        place = f"models.{name}"
        _source(spec, f"{place}.source", collected)
        with collected.noted(f"{place}.split.engine"):
            resolve(PREPARERS, spec.split.engine, place=f"{place}.split.engine")
        for key, candidate in spec.candidates.items():
            _candidate(candidate, spec, f"{place}.candidates.{key}", collected)
    return collected.texts


def _source(spec: ModelSpec, place: str, collected: Mistakes) -> None:
    kind = spec.source.kind
    with collected.noted(place):
        source = resolve(SOURCES, kind, place=f"{place}.kind", extra=EXTRAS.get(kind))
        if isinstance(spec.source, PythonSource):
            load_function(spec.source.function, place=f"{place}.function")
            _check_folder(SOURCE_FOLDERS / kind, place)
        if kind in AT_HAND:
            declared_columns(_first_rows(source, spec), spec)


def _check_folder(folder: Path, place: str) -> None:
    """Raise ConfigError where what the stage follows is not there, and DVC would stop for it."""
    if not folder.is_dir():
        raise ConfigError(
            f"{place}: the folder {folder} is not there, which the collect stage follows; make it, "
            "with a file in it for git, such as a README.md"
        )


def _first_rows(source: Any, spec: ModelSpec) -> pd.DataFrame:
    """Return the columns of a source, without its rows; raises SourceError when it has none."""
    declared = spec.source
    if isinstance(declared, SimulateSource):
        declared = declared.model_copy(update={"rows": min(declared.rows, FEW_ROWS)})
    for table in source(declared).tables():
        columns: pd.DataFrame = table.slice(0, 0).to_pandas()
        return columns
    raise SourceError("it has no rows")


def _candidate(candidate: Candidate, spec: ModelSpec, place: str, collected: Mistakes) -> None:
    with collected.noted(f"{place}.trainer"):
        resolve(TRAINERS, candidate.trainer, place=f"{place}.trainer")
        strategy_of(spec.search, place=place)
        judge_of(spec.search, place=place)
    for key in ("preprocessors", "numbers"):
        for step in getattr(candidate, key):
            with collected.noted(f"{place}.{key}"):
                _look(made(step, place=f"{place}.{key}"), spec)
    with collected.noted(place):
        if candidate.trainer == "spark":
            kind_of(candidate.estimator, task=spec.target.task, place=f"{place}.estimator")
        elif candidate.trainer not in CHOOSING:
            named = options.checkable_columns(candidate, spec.features, place=place)
            _estimator(named, f"{place}.estimator", collected)


def _estimator(candidate: Candidate, place: str, collected: Mistakes) -> None:
    candidate = checkable_classes(candidate, place=place.removesuffix(".estimator"))
    step = Step.model_validate({"class": candidate.estimator, "options": candidate.options})
    estimator = made(step, place=place)
    if not isinstance(estimator, BaseEstimator):
        return
    with collected.noted(f"{place.removesuffix('.estimator')}.options"):
        _check(estimator)
    for name, values in candidate.search.items():
        with collected.noted(f"{place.removesuffix('.estimator')}.search.{name}"):
            for value in _ends(values):
                _check(_changed(estimator, {name: value}))


def _look(step: Any, spec: ModelSpec) -> None:
    """Raise TrainingError where a preprocessor of ours names a column that is no feature."""
    if isinstance(step, KeepColumns):
        step.fit(pd.DataFrame(columns=list(spec.features)))


def _ends(values: Span | tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the values that a search tries, or the lowest and highest of a range."""
    if not isinstance(values, Span):
        return values
    return values.whole if values.integer else (values.low, values.high)


def _changed(estimator: BaseEstimator, settings: Mapping[str, Any]) -> BaseEstimator:
    changed = clone(estimator)
    taken = sorted(changed.get_params())
    if unknown := [name for name in settings if name not in taken]:
        raise TrainingError(
            f"{type(estimator).__name__} takes no {unknown[0]!r}; it takes {', '.join(taken)}"
        )
    return changed.set_params(**settings)


def _check(estimator: BaseEstimator) -> None:
    """Raise TrainingError for a value that the estimator says it does not take.

    scikit-learn's own look at their options when they are fitted, by this method and this table;
    those of another library have no table, and say so in the train stage.
    """
    if not hasattr(estimator, "_parameter_constraints"):
        return
    try:
        estimator._validate_params()
    except ValueError as error:
        raise TrainingError(str(error)) from None


def check() -> Params:
    """Return the declaration; raises ConfigError, which names every mistake in it."""
    params = read_params()
    if wrong := mistakes(params):
        raise ConfigError("\n".join(f"{PARAMS}: {mistake}" for mistake in wrong))
    return params


def schema() -> dict[str, Any]:
    """Return the JSON schema of the declaration."""
    return Params.model_json_schema()


def overview(params: Params) -> dict[str, Any]:
    """Return the default model, and of each model what a person asks first, as plain data."""
    models = {
        name: {
            "features": len(spec.features),
            "source": spec.source.kind,
            "candidates": list(spec.candidates),
            "metric": spec.champion.metric,
        }
        for name, spec in params.models.items()
    }
    return {"default": params.default, "models": models}
