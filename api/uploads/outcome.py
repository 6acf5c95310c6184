"""What a trial says at its end: between the process that tries a model and the service."""

from pydantic import BaseModel, Field


class Fault(BaseModel):
    """One reason to refuse the model."""

    place: str
    message: str
    value: str | int | None = None


class Outcome(BaseModel):
    """What came of the trial; no faults: the model can be served."""

    faults: list[Fault]
    signature: str | None = Field(
        default=None, description="What the model carries, where nothing is wrong with it"
    )
