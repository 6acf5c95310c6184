"""A model of MLflow, by its address or its folder → a fitted model."""

import mlflow.models
import mlflow.sklearn
import mlflow.xgboost

from treeline.errors import ArtifactRejectedError
from treeline.intake import Said
from treeline.intake.models import FittedModel, opened, refuse_code

FLAVORS = {"sklearn": mlflow.sklearn.load_model, "xgboost": mlflow.xgboost.load_model}


def read_mlflow(place: str, said: Said) -> FittedModel:
    """Open a model of MLflow, of the server that MLFLOW_TRACKING_URI names.

    Raises ArtifactRejectedError: its files are pickles, and only two flavours are known.
    """
    refuse_code(place, said)
    try:
        flavors = mlflow.models.get_model_info(place).flavors
    except Exception as error:  # of MLflow, or of the connection to its server
        raise ArtifactRejectedError(f"{place}: MLflow does not give it: {error}") from error
    known = [name for name in FLAVORS if name in flavors]
    if not known:
        raise ArtifactRejectedError(
            f"{place}: its flavours are {', '.join(flavors)}, and known are {', '.join(FLAVORS)}; "
            "log it as one of these, or give it as an ONNX file"
        )
    return opened(place, lambda: FLAVORS[known[0]](place))
