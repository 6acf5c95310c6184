"""What routes ask for by type: the prediction log, where there is one."""

from typing import Annotated

from fastapi import Depends, Request

from api.errors import LogOffError
from api.prediction_log.log import PredictionLog


async def log(request: Request) -> PredictionLog:
    """Return the log of this worker; raises LogOffError."""
    found: PredictionLog | None = request.app.state.log
    if found is None:
        raise LogOffError("Nothing is recorded here: API_PREDICTION_LOG is off.")
    return found


LogDep = Annotated[PredictionLog, Depends(log)]
