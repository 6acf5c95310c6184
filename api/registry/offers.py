"""What the registry offers, and what is served of it: the document that all processes share."""

from datetime import datetime
from typing import Literal

from treeline.contract.features import Closed
from treeline.contract.signature import Sha256

FORMAT: Literal[1] = 1


class Version(Closed):
    """One version of a registered model.

    `artifact` is the SHA-256 of its ONNX file once that was fetched and passed its trial, and
    `version` is ours, which is known from then on. `refused` says why it cannot be served.
    """

    number: str
    created: datetime
    aliases: tuple[str, ...] = ()
    description: str = ""
    status: str = ""
    run: str | None = None
    tags: dict[str, str] = {}
    metrics: dict[str, float] = {}
    version: str | None = None
    artifact: Sha256 | None = None
    refused: str = ""
    refused_at: datetime | None = None


class Served(Closed):
    """The version that is served under the name of a model: the last one named that passed."""

    number: str
    version: str
    artifact: Sha256
    created: datetime


class Model(Closed):
    """One registered model.

    `name` is what it is served under, and `declared` whether a setting names it. `named` is the
    number of the version that the registry names for us, and `problem` why that is not served.
    """

    name: str
    registered: str
    reference: str = ""
    declared: bool = False
    description: str = ""
    tags: dict[str, str] = {}
    named: str | None = None
    served: Served | None = None
    problem: str = ""
    versions: tuple[Version, ...] = ()


class Offers(Closed):
    """Everything; `complete` from when each named version was fetched or refused for once."""

    format: Literal[1] = FORMAT
    complete: bool = False
    models: tuple[Model, ...] = ()
