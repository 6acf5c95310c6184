"""Blocks of a declared model: `split`, `champion`, `evaluation`, `gate.leaks`, those of `h2o`."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from treeline.contract.features import Closed
from treeline.contract.signature import Sha256

# A number (true is none), or a time as ISO 8601 writes it.
Moment = Annotated[int, Field(strict=True)] | Annotated[float, Field(strict=True)] | str


class Split(Closed):
    """Which rows are kept for the test: a fraction, never two rows of one group on both sides.

    By the rule `stable` a row keeps its side for ever: a seeded hash decides, of the columns that
    `key` names, of the group, or without both of the features. By the rule `drawn` all rows are
    drawn anew when one is added, and classes keep their shares. With `after` the rows beyond a
    value of one column are for the test. With `engine: spark` rows are checked by Spark, so that
    they need not fit into memory.
    """

    engine: Literal["local", "spark"] = "local"
    rule: Literal["stable", "drawn"] = "stable"
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    group: str | None = None
    key: tuple[str, ...] = ()
    after: Annotated[dict[str, Moment], Field(min_length=1, max_length=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0

    @field_validator("key", mode="before")
    @classmethod
    def _is_a_list(cls, key: Any) -> Any:
        return (key,) if isinstance(key, str) else key

    @field_validator("after")
    @classmethod
    def _is_a_moment(cls, after: dict[str, Moment] | None) -> dict[str, Moment] | None:
        for name, moment in (after or {}).items():
            try:
                datetime.fromisoformat(moment if isinstance(moment, str) else "2026-01-31")
            except ValueError:
                raise ValueError(
                    f"`{name}` is {moment!r}; give a number, or a time in quotes like '2026-01-31'"
                ) from None
        return after

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if len(set(self.key)) != len(self.key):
            raise ValueError("`key` names one column twice")
        if self.key and self.group is not None:
            raise ValueError("`group` decides the side of a row already; leave out `key`")
        if self.key and self.rule == "drawn":
            raise ValueError("`rule: drawn` looks at no key; leave out `key`, or `rule`")
        if self.after is not None:
            beside = {"group": self.group, "key": self.key, "rule": self.rule == "drawn"}
            beside["test"] = "test" in self.model_fields_set
            if named := [name for name, declared in beside.items() if declared]:
                raise ValueError(
                    f"`after` decides the side of a row already; leave out `{named[0]}`"
                )
        return self


class Champion(Closed):
    """The metric by which candidates are ranked, and what becomes of the one that wins.

    With `baseline: may_win` the baseline wins unless a candidate leads it on the folds by more than
    one standard error: what is simpler then ships. With `refit: all` the judged champion is fitted
    again, with its settings, on both splits.
    """

    metric: str
    baseline: Literal["stands_by", "may_win"] = "stands_by"
    refit: Literal["train", "all"] = "train"

    @property
    def baseline_may_win(self) -> bool:
        """Whether the baseline may be champion."""
        return self.baseline == "may_win"


Suspicion = Literal["allow", "warn", "refuse"]


class Costs(Closed):
    """What a wrong answer of a binary target costs, in any unit of the user's."""

    false_alarm: Annotated[float, Field(gt=0)]
    miss: Annotated[float, Field(gt=0)]


class Evaluation(Closed):
    """How the champion is judged.

    With `folds` all rows are judged rather than those of the test split: champion and baseline are
    refitted, with the settings that won, without each of so many parts in turn, groups whole, and
    predict that part; `all` leaves out one group (or row) at a time. `repeats` draws other parts.
    The report judges each value of the columns of `slices` for itself, of features of categories
    where none are declared; weighs thresholds by `costs`; and refits the champion on parts of the
    training rows for a `learning_curve`.
    """

    folds: Annotated[int, Field(ge=2)] | Literal["all"] | None = None
    repeats: Annotated[int, Field(ge=1)] = 1
    slices: tuple[str, ...] | None = None
    costs: Costs | None = None
    learning_curve: bool = False

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.repeats > 1 and not isinstance(self.folds, int):
            raise ValueError("`repeats` draws the parts of `folds` anew; declare a number of those")
        return self

    @property
    def refits(self) -> str:
        """The key that has the champion refitted, or nothing."""
        if self.folds is not None:
            return "folds"
        return "learning_curve" if self.learning_curve else ""


class Leaks(Closed):
    """What becomes of a model whose data may give the answer away, by what was seen of them.

    `warn` says it, `refuse` refuses it, `allow` says that somebody has looked. Of twins only those
    are refused that are many and beyond chance.
    """

    twins: Suspicion = "refuse"
    telling: Suspicion = "warn"
    ids: Suspicion = "warn"
    clocks: Suspicion = "warn"
    groups: Suspicion = "warn"


Onnx = Literal["preferred", "required"]


class Export(Closed):
    """Whether the artifact must be an ONNX graph, and how closely it must repeat the estimator.

    `export: required` is short for `{onnx: required}`: the gate refuses a champion that no graph
    repeats. `tolerance` is absolute for scores, and relative for values.
    """

    onnx: Onnx = "preferred"
    tolerance: Annotated[float, Field(gt=0)] = 1e-5


class Comparing(Closed):
    """Options of the trainer `compare`: the best `tune` of all are tuned, `trials` times each.

    `exclude` names classes that are not tried, by name or import path. With `seconds_each` an
    estimator that takes longer, with its defaults or tuned, is left out; what is left out then
    depends on the machine.
    """

    tune: Annotated[int, Field(ge=0)] = 3
    trials: Annotated[int, Field(gt=0)] = 10
    exclude: tuple[str, ...] = ()
    seconds_each: Annotated[float, Field(gt=0)] | None = None


Algorithm = Literal["DRF", "DeepLearning", "GBM", "GLM", "StackedEnsemble", "XGBoost"]
USUAL_SECONDS = 60


class AutoML(Closed):
    """The budget of H2O's AutoML, and what it may use.

    `seconds` is a budget of time: how far it gets depends on the machine. With `models` it fits so
    many, in whatever time, and the same on every run: DeepLearning, which differs from run to run,
    is left out then. `memory` is the heap of its JVM; `exclude` names algorithms.
    """

    seconds: Annotated[float, Field(gt=0)] | None = None
    models: Annotated[int, Field(gt=0)] | None = None
    memory: Annotated[str, Field(pattern=r"^[1-9][0-9]*[mg]$")] = "1g"
    exclude: tuple[Algorithm, ...] = ()
    seed: Annotated[int, Field(ge=0)] | None = None

    @property
    def budget(self) -> dict[str, float]:
        """The budget as H2O takes it, in which 0 is no limit."""
        seconds = 0 if self.models else self.seconds or USUAL_SECONDS
        return {"max_runtime_secs": seconds, "max_models": self.models or 0}

    @property
    def excluded(self) -> list[str]:
        """The algorithms that are left out."""
        return sorted({*self.exclude, *(["DeepLearning"] if self.models else [])})

    @model_validator(mode="after")
    def _has_one_budget(self) -> Self:
        if self.seconds is not None and self.models is not None:
            raise ValueError("`seconds` and `models` are two budgets; give one")
        return self


class Imported(Closed):
    """Options of the trainer `imported`: an ONNX graph that `treeline import` made, and its digest.

    The digest decides which model is meant: the file is DVC's, and the declaration is in git.
    """

    path: Annotated[str, Field(pattern=r"^dataset/sources/models/[^/]+\.onnx$")]
    sha256: Sha256
