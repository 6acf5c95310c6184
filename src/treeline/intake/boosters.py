"""XGBoost's own files → a fitted model."""

import json

import xgboost

from treeline.errors import ArtifactRejectedError, first_line
from treeline.intake import Said
from treeline.intake.models import FittedModel, opened

CLASSIFIES = ("binary:", "multi:")


class NamedBooster(FittedModel):
    """An XGBoost model that knows its columns, which its file names."""

    @property
    def names(self) -> tuple[str, ...] | None:
        """The columns that its file names."""
        names = self.estimator.get_booster().feature_names
        return None if names is None else tuple(names)


def read_xgboost(place: str, said: Said) -> NamedBooster:
    """Open a model that XGBoost saved as JSON or UBJSON; raises ArtifactRejectedError."""
    booster = xgboost.Booster()
    try:
        booster.load_model(place)
        objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    except (xgboost.core.XGBoostError, ValueError, KeyError) as error:
        reason = first_line(error)
        raise ArtifactRejectedError(f"{place}: not a model of XGBoost: {reason}") from error
    classifies = objective.startswith(CLASSIFIES)
    estimator = xgboost.XGBClassifier() if classifies else xgboost.XGBRegressor()

    def load() -> object:
        estimator.load_model(place)
        return estimator

    return NamedBooster(opened(place, load).estimator)
