"""What a model block may declare: `models.<name>` of `params.yaml` as one frozen spec."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from treeline.artifact.features import Closed, Feature, Target
from treeline.artifact.signature import Slug
from treeline.config.metrics import metrics_of
from treeline.config.sources import SourceSpec

CHAMPION = "champion"  # the candidate that won, wherever it is judged beside others
BASELINE = "baseline"  # the candidate that stands in every table and can never be champion


class Step(Closed):
    """A class by its import path, with the options its constructor is given."""

    class_path: Annotated[str, Field(alias="class")]
    options: dict[str, Any] = {}


class Span(Closed):
    """A range that a random search draws from: uniform, log-uniform, or over whole numbers."""

    low: float
    high: float
    log: bool = False
    integer: bool = False

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"`low` {self.low:g} must be below `high` {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"`low` {self.low:g} must be above 0 for a log-uniform range")
        return self


class Candidate(Closed):
    """One way to make an estimator: a trainer, a class, its options and what to search over.

    `preprocessors` see the whole frame, in which a category is its code (its position in the
    declared list); `numbers` see the number columns only; `categories` says whether an estimator
    gets category columns one-hot or as codes.
    """

    trainer: str = "sklearn"
    preprocessors: tuple[Step, ...] = ()
    numbers: tuple[Step, ...] = ()
    categories: Literal["onehot", "codes"] = "onehot"
    estimator: str
    options: dict[str, Any] = {}
    search: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)] | Span] = {}

    @field_validator("preprocessors", "numbers", mode="before")
    @classmethod
    def _spell_out(cls, steps: Any) -> Any:
        listed = steps if isinstance(steps, (list, tuple)) else [steps]
        return [{"class": step} if isinstance(step, str) else step for step in listed]


class Split(Closed):
    """Which rows are kept for the test: a fraction, never two rows of one group on both sides."""

    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    group: str | None = None
    seed: Annotated[int, Field(ge=0)] = 0


class Search(Closed):
    """How hyperparameters are searched, by cross-validation inside the training split."""

    strategy: Literal["grid", "random", "halving"] = "grid"
    trials: Annotated[int, Field(gt=0)] = 10
    folds: Annotated[int, Field(ge=2)] = 5
    seed: Annotated[int, Field(ge=0)] = 0
    jobs: Annotated[int, Field(ge=1)] = 1


class Champion(Closed):
    """The metric by which candidates are ranked."""

    metric: str


class Gate(Closed):
    """What the champion must reach on the test split before it may be exported.

    `beats_by` is the metric by which it must beat the baseline, the champion metric if not given.
    """

    floor: dict[str, float] = {}
    ceiling: dict[str, float] = {}
    beats: Literal["baseline"] | None = "baseline"
    beats_by: str | None = None
    may_drop_by: dict[str, Annotated[float, Field(ge=0)]] = {}


class Export(Closed):
    """How closely the artifact must repeat the estimator: scores absolutely, values relatively."""

    tolerance: Annotated[float, Field(gt=0)] = 1e-5


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
    gate: Gate
    export: Export = Export()

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        carried, target = set(self.source.columns), self.target.name
        if target in self.features:
            raise ValueError(f"`features` holds the target {target!r}; a model may not see it")
        if twice := carried & {*self.features, target}:
            raise ValueError(f"`source.columns` repeats {sorted(twice)}, declared elsewhere")
        known = {*self.features, *carried, target}
        asked = {"split.group": [self.split.group] if self.split.group else []}
        asked["source.where"] = list(self.source.where)
        for place, names in asked.items():
            if unknown := [name for name in names if name not in known]:
                raise ValueError(
                    f"`{place}` names {unknown[0]!r}, which is no declared column; "
                    "declare it under `source.columns`, with its type"
                )
        if set(self.candidates) == {BASELINE}:
            raise ValueError(
                "`candidates` holds only the baseline, which is never champion; add one"
            )
        return self

    @model_validator(mode="after")
    def _searches_are_possible(self) -> Self:
        for name, candidate in self.candidates.items():
            spans = [key for key, values in candidate.search.items() if isinstance(values, Span)]
            if spans and self.search.strategy == "grid":
                raise ValueError(
                    f"`candidates.{name}.search.{spans[0]}` is a range, which a grid cannot walk; "
                    "list its values, or declare `search: {strategy: random}`"
                )
        return self

    @model_validator(mode="after")
    def _metrics_are_known(self) -> Self:
        known, task = metrics_of(self.target.task), self.target.task
        asked = {
            "champion.metric": [self.champion.metric],
            "gate.beats_by": [self.gate.beats_by] if self.gate.beats_by else [],
            "gate.floor": self.gate.floor,
            "gate.ceiling": self.gate.ceiling,
            "gate.may_drop_by": self.gate.may_drop_by,
        }
        for place, names in asked.items():
            if unknown := [name for name in names if name not in known]:
                raise ValueError(
                    f"`{place}` names {unknown[0]!r}, which is no metric of a {task} target; "
                    f"choose from {', '.join(known)}"
                )
        return self
