"""What `options` of a candidate of the trainer `h2o` may say."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from treeline.contract.features import Closed

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
