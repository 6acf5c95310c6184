"""What a source block may declare: one closed spec per kind.

The classes that do the collecting live in `treeline.sources` and are looked up by the same name,
so that reading a declaration imports no engine.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from treeline.artifact.features import Closed

FILES = "dataset/sources/file"

ColumnType = Literal["number", "integer", "text"]
Scalar = bool | int | float | str


class Range(Closed):
    """Admit the values from `minimum` to `maximum`, both included."""

    minimum: float | None = None
    maximum: float | None = None

    @model_validator(mode="after")
    def _has_a_limit(self) -> Self:
        if self.minimum is None and self.maximum is None:
            raise ValueError("give `minimum`, `maximum` or both")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"`minimum` {self.minimum:g} is above `maximum` {self.maximum:g}")
        return self


Condition = Scalar | tuple[Scalar, ...] | Range


class _Source(Closed):
    """What every kind of source may declare beside its own keys.

    `columns` are carried along, typed and checked, but never shown to an estimator: groups of the
    split, flags, weights. `where` keeps the rows that meet every condition: a value, a list of
    values, or a range.
    """

    columns: dict[str, ColumnType] = {}
    where: dict[str, Condition] = {}


class Delimited(_Source):
    """What a source of one file may declare beside its place: how a CSV is written."""

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    missing: tuple[str, ...] = ("", "NA", "NaN", "null")


class SimulateSource(_Source):
    """Rows drawn by a simulator of the package from figures under `dataset/sources/simulate`."""

    kind: Literal["simulate"]
    simulator: str
    rows: Annotated[int, Field(gt=0)]
    seed: Annotated[int, Field(ge=0)] = 0
    variant: Literal["deposited", "clean"] = "deposited"


class FileSource(Delimited):
    """A CSV or Parquet file under `dataset/sources/file`, versioned by DVC."""

    kind: Literal["file"]
    path: str

    @field_validator("path")
    @classmethod
    def _is_versioned(cls, path: str) -> str:
        if not path.startswith(f"{FILES}/") or ".." in path.split("/"):
            raise ValueError(
                f"{path!r} is not under {FILES}/, where DVC versions the files of sources; "
                "bring it in with: make adopt MODEL=<model> FILE=<path>"
            )
        return path


class UrlSource(Delimited):
    """A CSV or Parquet file behind http(s), with a SHA-256 to hold it to, if wanted."""

    kind: Literal["url"]
    url: Annotated[str, Field(pattern=r"^https?://")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    timeout_seconds: Annotated[float, Field(gt=0)] = 60


class LibrarySource(_Source):
    """One of the data sets bundled with scikit-learn.

    Its column `target` holds class codes; `labels` adds a column of that name with the class names.
    """

    kind: Literal["library"]
    dataset: str
    labels: str | None = None


SourceSpec = Annotated[
    SimulateSource | FileSource | UrlSource | LibrarySource, Field(discriminator="kind")
]


def admitted(condition: Any) -> str:
    """Say a `where` condition in words."""
    if isinstance(condition, Range):
        limits = (
            ("at least", condition.minimum),
            ("at most", condition.maximum),
        )
        return " and ".join(f"{word} {limit:g}" for word, limit in limits if limit is not None)
    if isinstance(condition, tuple):
        return "one of " + ", ".join(map(str, condition))
    return str(condition)
