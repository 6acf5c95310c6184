"""What a model block may declare: `models.<name>` of `params.yaml` as one frozen spec."""

import json
from math import ceil, floor
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from treeline.config.blocks import (
    AutoML,
    Champion,
    Comparing,
    Evaluation,
    Export,
    Imported,
    Leaks,
    Split,
)
from treeline.config.metrics import metrics_of
from treeline.config.monitor import Monitor
from treeline.config.own_metrics import check_path, is_path
from treeline.config.problems import problems
from treeline.config.sources import USUALLY_MISSING, Delimited, SourceSpec, check_key
from treeline.contract.features import ANSWER_KEYS, Closed, Feature, Target
from treeline.contract.texts import Slug
from treeline.registry import is_own, objection

CHAMPION = "champion"  # the candidate that won, wherever it is judged beside others
SPARK = "spark"  # the trainer whose estimators are Spark's own
# Trainers whose estimators only they can fit again, or nobody.
NOT_REFITTED = frozenset({"h2o", "imported", SPARK})
BASELINE = "baseline"  # the candidate that stands in every table, and wins only where declared

Undecided = Literal["refuse", "pass"]


class Step(Closed):
    """A class by its import path, with the options its constructor is given."""

    class_path: Annotated[str, Field(alias="class")]
    options: dict[str, Any] = {}

    @field_validator("class_path")
    @classmethod
    def _is_followed(cls, path: str) -> str:
        if (reason := objection(path)) is not None:
            raise ValueError(reason)
        return path


class Span(Closed):
    """A range that a search draws from: uniform, log-uniform, or over whole numbers."""

    low: float
    high: float
    log: bool = False
    integer: bool = False

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"`low` {self.low:g} must be below `high` {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"`low` {self.low:g} must be above 0 for a log-uniform range")
        if self.integer and self.whole[0] > self.whole[1]:
            raise ValueError(f"there is no whole number from {self.low:g} to {self.high:g}")
        return self

    @property
    def whole(self) -> tuple[int, int]:
        """The lowest and the highest whole number of the range."""
        return ceil(self.low), floor(self.high)


# Trainers that bring estimators themselves, with what their options may be.
CHOOSING: dict[str, type[Closed]] = {"compare": Comparing, "h2o": AutoML, "imported": Imported}


class Candidate(Closed):
    """One way to make an estimator: a trainer, a class, its options and what to search over.

    Trainers that choose among estimators themselves take none; their options are the trainer's.
    `preprocessors` see the whole frame, in which a category is its code (its position in the
    declared list); `numbers` see the number columns only; `categories` says whether an estimator
    gets category columns one-hot or as codes.
    """

    trainer: str = "sklearn"
    preprocessors: tuple[Step, ...] = ()
    numbers: tuple[Step, ...] = ()
    categories: Literal["onehot", "codes"] = "onehot"
    estimator: str | None = None
    options: dict[str, Any] = {}
    search: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)] | Span] = {}

    @field_validator("preprocessors", "numbers", mode="before")
    @classmethod
    def _spell_out(cls, steps: Any) -> Any:
        listed = steps if isinstance(steps, (list, tuple)) else [steps]
        return [{"class": step} if isinstance(step, str) else step for step in listed]

    @field_validator("estimator")
    @classmethod
    def _is_followed(cls, path: str | None, info: ValidationInfo) -> str | None:
        """Spark brings its classes along, from wherever it is."""
        of_spark = info.data.get("trainer") == SPARK
        if path is not None and not of_spark and (reason := objection(path)) is not None:
            raise ValueError(reason)
        return path

    @field_validator("options")
    @classmethod
    def _are_the_trainers(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if (declared := CHOOSING.get(info.data.get("trainer", ""))) is not None:
            try:
                declared.model_validate(options)
            except ValidationError as error:
                raise ValueError("; ".join(problems(error, options))) from None
        return options

    @property
    def class_paths(self) -> tuple[str, ...]:
        """The import paths that it names: preprocessors, steps of numbers, the estimator."""
        steps = (*self.preprocessors, *self.numbers)
        named = () if self.estimator is None else (self.estimator,)
        return (*(step.class_path for step in steps), *named)

    @model_validator(mode="after")
    def _names_an_estimator(self) -> Self:
        chooses = self.trainer in CHOOSING
        if chooses and self.estimator is not None:
            raise ValueError(f"`trainer: {self.trainer}` chooses estimators itself; name none")
        if chooses and self.search:
            raise ValueError(f"`trainer: {self.trainer}` searches by itself; leave out `search`")
        if not chooses and self.estimator is None:
            raise ValueError("`estimator` is missing; give the import path of a class")
        return self


class Search(Closed):
    """How hyperparameters are searched, by cross-validation inside the training split.

    With `engine: spark` trials run as tasks of Spark, on the cluster that SPARK_MASTER names.
    """

    strategy: Literal["grid", "random", "halving", "optuna"] = "grid"
    engine: Literal["local", "spark"] = "local"
    trials: Annotated[int, Field(gt=0)] = 10
    folds: Annotated[int, Field(ge=2)] = 5
    seed: Annotated[int, Field(ge=0)] = 0
    jobs: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _can_be_spread(self) -> Self:
        if self.engine == "spark" and self.strategy in ("halving", "optuna"):
            raise ValueError(
                f"`strategy: {self.strategy}` chooses each trial by those before it, so that there "
                "are none to spread with `engine: spark`; declare grid or random, or no engine"
            )
        return self


class Gate(Closed):
    """What the champion must reach on the test split before it may be exported.

    `beats_by` is the metric by which it must beat the baseline, the champion metric if not given:
    the interval of its lead must be above 0. `undecided` says what becomes of one that leads by
    less than the test rows can tell from chance.
    """

    floor: dict[str, float] = {}
    ceiling: dict[str, float] = {}
    beats: Literal["baseline"] | None = "baseline"
    beats_by: str | None = None
    undecided: Undecided = "refuse"
    may_drop_by: dict[str, Annotated[float, Field(ge=0)]] = {}
    leaks: Leaks = Leaks()

    @property
    def judging(self) -> tuple[str, ...]:
        """The metrics that it looks at, beside the champion metric."""
        beats = () if self.beats_by is None else (self.beats_by,)
        return (*beats, *self.floor, *self.ceiling)


class ModelSpec(Closed):
    """One declared model; `notes` is what its card tells a user first."""

    description: str = ""
    notes: str = ""
    source: SourceSpec
    target: Target
    features: Annotated[dict[str, Feature], Field(min_length=1)]
    split: Split
    candidates: Annotated[dict[Slug, Candidate], Field(min_length=1)]
    search: Search
    champion: Champion
    evaluation: Evaluation = Evaluation()
    gate: Gate
    export: Export = Export()
    monitor: Monitor = Monitor()

    @property
    def own_classes(self) -> tuple[str, ...]:
        """The import paths of the project's own classes that it names, metrics too, sorted."""
        named = {path for each in self.candidates.values() for path in each.class_paths}
        return tuple(sorted(filter(is_own, named.union(self.metric_paths))))

    @property
    def metric_paths(self) -> tuple[str, ...]:
        """The import paths among the metrics that it names, the champion metric first."""
        return tuple(dict.fromkeys(filter(is_path, self._named_metrics)))

    @property
    def _named_metrics(self) -> tuple[str, ...]:
        return (self.champion.metric, *self.gate.judging, *self.gate.may_drop_by)

    @property
    def missing(self) -> tuple[str, ...]:
        """The words for a missing value in a CSV of these rows, beside an empty field.

        Those by which the source is read, or the usual ones; no category is among the latter.
        """
        source = getattr(self.source, "base", None) or self.source
        words = source.missing if isinstance(source, Delimited) else USUALLY_MISSING
        taken = {text for feature in self.features.values() for text in feature.categories}
        if not isinstance(source, Delimited):
            words = tuple(word for word in words if word not in taken)
        return tuple(word for word in words if word)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that it is judged by: of its task, of declared quantiles and of one's own."""
        return (*metrics_of(self.target.task, *self._named_metrics), *self.metric_paths)

    @property
    def metrics_on_folds(self) -> tuple[str, ...]:
        """The metrics that candidates are judged by: of one's own only what chooses a champion."""
        chosen = self.champion.metric
        return tuple(name for name in self.metrics if name == chosen or not is_path(name))

    @field_validator("export", mode="before")
    @classmethod
    def _spell_out(cls, export: Any) -> Any:
        return {"onnx": export} if isinstance(export, str) else export

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        carried, target = set(self.source.columns), self.target.name
        if target in ANSWER_KEYS:
            raise ValueError(
                f"`target.name` is {target!r}, which stands in each answer for something else; "
                f"rename the column (taken are {', '.join(sorted(ANSWER_KEYS))})"
            )
        if target in self.features:
            raise ValueError(f"`features` holds the target {target!r}; a model may not see it")
        if twice := carried & {*self.features, target}:
            raise ValueError(f"`source.columns` repeats {sorted(twice)}, declared elsewhere")
        known = {*self.features, *carried, target}
        named = {"split.group": [self.split.group] if self.split.group else []}
        named["split.key"] = list(self.split.key)
        named["split.after"] = list(self.split.after or ())
        named["source.where"] = list(self.source.where)
        named["evaluation.slices"] = list(self.evaluation.slices or ())
        for place, names in named.items():
            if unknown := [name for name in names if name not in known]:
                raise ValueError(
                    f"`{place}` names {unknown[0]!r}, which is no declared column; "
                    "declare it under `source.columns`, with its type"
                )
        self.monitor.check(self.features)
        if (key := self.source.key) is not None:
            check_key(key, carried=self.source.columns, shown={*self.features, target})
        return self

    @model_validator(mode="after")
    def _a_candidate_can_win(self) -> Self:
        if self.champion.baseline_may_win and BASELINE not in self.candidates:
            raise ValueError(
                "`champion.baseline` may win, and there is none; declare `candidates.baseline`"
            )
        if set(self.candidates) == {BASELINE} and not self.champion.baseline_may_win:
            raise ValueError(
                "`candidates` holds only the baseline, which is not to be champion; add one, or "
                "declare `champion: {baseline: may_win}`"
            )
        return self

    @model_validator(mode="after")
    def _sides_stay(self) -> Self:
        if (target := self.target.name) in self.split.key:
            raise ValueError(
                f"`split.key` names the target {target!r}, which may be corrected later; name "
                "what stays"
            )
        for name, moment in (self.split.after or {}).items():
            feature = self.features.get(name)
            held = feature.type if feature else self.source.columns.get(name, "target")
            fits = held == "text" if isinstance(moment, str) else held in ("number", "integer")
            if not fits:
                raise ValueError(
                    f"`split.after` sets {name!r} ({held}) beside {moment!r}; name a number and "
                    "its value, or a column of texts and a time in quotes"
                )
        return self

    @model_validator(mode="after")
    def _no_value_is_missing(self) -> Self:
        """A category or class that is a word for a missing value would be taken for none."""
        if not isinstance(self.source, Delimited):
            return self
        named = {f"features.{name}": each.categories for name, each in self.features.items()}
        if isinstance(self.target.positive, str):
            named["target.positive"] = (self.target.positive,)
        for place, values in named.items():
            if clash := [value for value in values if value in self.source.missing]:
                left = [word for word in self.source.missing if word not in clash]
                raise ValueError(
                    f"`{place}` has the value {clash[0]!r}, which the source takes for a missing "
                    f"one; declare `source.missing: {json.dumps(left)}`, or rename the value"
                )
        return self

    @model_validator(mode="after")
    def _searches_are_possible(self) -> Self:
        for name, candidate in self.candidates.items():
            spans = [key for key, values in candidate.search.items() if isinstance(values, Span)]
            if spans and self.search.strategy == "grid":
                raise ValueError(
                    f"`candidates.{name}.search.{spans[0]}` is a range, which a grid cannot walk; "
                    "list its values, or declare `search: {strategy: random}` (or optuna)"
                )
        return self

    @model_validator(mode="after")
    def _can_be_refitted(self) -> Self:
        """Only what scikit-learn's `clone` knows can be fitted again outside its trainer."""
        trainers = {each.trainer for each in self.candidates.values()}
        declared = self.evaluation
        if declared.costs is not None and self.target.task != "binary":
            raise ValueError(
                "`evaluation.costs` weighs a threshold, which a binary target alone has"
            )
        refits = {
            "evaluation.folds": declared.folds is not None,
            "evaluation.learning_curve": declared.learning_curve,
            "champion.refit": self.champion.refit == "all",
        }
        key = next((name for name, wanted in refits.items() if wanted), "")
        if self.split.after is not None and declared.folds is not None:
            raise ValueError(
                "`evaluation.folds` would let later rows predict earlier ones, which `split.after` "
                "forbids; leave out one of them"
            )
        if self.split.after is not None and "h2o" in trainers:
            raise ValueError(
                "`split.after` has folds that only look back, and `trainer: h2o` needs each row in "
                "a fold; leave out one of them"
            )
        if key and (foreign := trainers & NOT_REFITTED):
            raise ValueError(
                f"`{key}` refits the champion, which `trainer: {min(foreign)}` does not let here; "
                f"leave out `{key}`, or the candidate"
            )
        return self

    @model_validator(mode="after")
    def _metrics_are_known(self) -> Self:
        task = self.target.task
        named = {
            "champion.metric": [self.champion.metric],
            "gate.beats_by": [self.gate.beats_by] if self.gate.beats_by else [],
            "gate.floor": self.gate.floor,
            "gate.ceiling": self.gate.ceiling,
            "gate.may_drop_by": self.gate.may_drop_by,
        }
        for place, names in named.items():
            known = metrics_of(task, *names)
            for name in names:
                if is_path(name):
                    check_path(name, place)
                elif name not in known:
                    quantiles = ", pinball_1 to pinball_99" if task == "regression" else ""
                    raise ValueError(
                        f"`{place}` names {name!r}, which is no metric of a {task} target; "
                        f"choose from {', '.join(metrics_of(task))}{quantiles}, or name a class of "
                        "your own: own.<module>.<Class>"
                    )
        return self
