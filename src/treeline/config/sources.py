"""What a source block may declare: one closed spec per kind.

The classes that do the collecting live in `treeline.sources` and are looked up by the same name,
so that reading a declaration imports no engine.
"""

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, field_validator, model_validator

from treeline.contract.features import Closed
from treeline.registry import objection

FILES = "dataset/sources/file"
CSV = ".csv"
DATABASE = re.compile(r"^(postgresql|mysql|mariadb)(\+\w+)?://.+/.+|^sqlite:///[^:].*")
SECRETS = {"password", "passwd", "passfile"}  # as parameters of a URL

USUALLY_MISSING = ("", "NA", "NaN", "null")

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
    split, flags, weights. `key` names one of them that callers may bring along in service, to find
    their predictions again. `where` keeps the rows that meet every condition: a value, a list of
    values, or a range.
    """

    columns: dict[str, ColumnType] = {}
    where: dict[str, Condition] = {}
    key: str | None = None

    @property
    def incremental(self) -> bool:
        """Whether the rows that were collected before are needed."""
        return False

    @property
    def untyped(self) -> bool:
        """Whether all values are texts, whatever they say, as those of a CSV are."""
        return False


class Delimited(_Source):
    """What a source of one file may declare beside its place: how a CSV is written."""

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    missing: tuple[str, ...] = USUALLY_MISSING


class Drift(Closed):
    """How a simulated world differs from that of the figures, for what is to notice it.

    `dry` is added to the logarithm of the odds to die at each census, in the tree experiment alone.
    `units` multiply columns of numbers, `newcomers` put another word into a column, `turned` the
    other one of 0 and 1; of the rows that `share` says.
    """

    dry: float = 0.0
    units: dict[str, float] = {}
    newcomers: dict[str, str] = {}
    turned: tuple[str, ...] = ()
    share: Annotated[float, Field(gt=0, le=1)] = 1.0


class SimulateSource(_Source):
    """Rows drawn by a simulator of the package from figures under `dataset/sources/simulate`."""

    kind: Literal["simulate"]
    simulator: str
    rows: Annotated[int, Field(gt=0)]
    seed: Annotated[int, Field(ge=0)] = 0
    variant: Literal["deposited", "clean"] = "deposited"
    drift: Drift | None = None


class FileSource(Delimited):
    """A CSV or Parquet file under `dataset/sources/file`, versioned by DVC."""

    kind: Literal["file"]
    path: str

    @property
    def untyped(self) -> bool:
        """Whether it is a CSV."""
        return self.path.lower().endswith(CSV)

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
    """A CSV or Parquet file behind http(s), with a SHA-256 to hold it to, if wanted.

    What has more than `max_bytes` is not fetched: another's server decides how much there is.
    """

    kind: Literal["url"]
    url: Annotated[str, Field(pattern=r"^https?://")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    timeout_seconds: Annotated[float, Field(gt=0)] = 60
    max_bytes: Annotated[int, Field(gt=0)] = 4 << 30

    @property
    def untyped(self) -> bool:
        """Whether it is a CSV."""
        return urlsplit(self.url).path.lower().endswith(CSV)


class LibrarySource(_Source):
    """One of the data sets bundled with scikit-learn.

    Its column `target` holds class codes; `labels` adds a column of that name with the class names.
    """

    kind: Literal["library"]
    dataset: str
    labels: str | None = None


class _Database(_Source):
    """What a source in a database may declare: where it is, and where its password is."""

    url: str
    password: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = "TREELINE_SQL_PASSWORD"

    @field_validator("url")
    @classmethod
    def _has_no_secret(cls, url: str) -> str:
        if not DATABASE.match(url):
            raise ValueError(
                "give a URL such as postgresql://user@host:5432/name, mysql://user@host:3306/name "
                "or sqlite:///folder/file.sqlite"
            )
        parts = urlsplit(url)
        if parts.password is not None or SECRETS & {key.lower() for key in parse_qs(parts.query)}:
            raise ValueError(
                "a URL with a password would be read by all who read this file; take it out and "
                "set the environment variable that `password` names"
            )
        return url


class SqlSource(_Database):
    """A table or query of PostgreSQL, MySQL, MariaDB or SQLite, by SQLAlchemy URL.

    The password comes from the environment variable that `password` names. Rows come in the order
    of `order_by`, then of the table's primary key. With a `watermark`, a column that only grows,
    they come in its order first, and later collections add what is new.
    """

    kind: Literal["sql"]
    table: Annotated[str, Field(min_length=1)] | None = None
    query: Annotated[str, Field(min_length=1)] | None = None
    order_by: tuple[str, ...] = ()
    watermark: str | None = None

    @property
    def incremental(self) -> bool:
        """Whether the rows that were collected before are needed."""
        return self.watermark is not None

    @model_validator(mode="after")
    def _names_rows_in_order(self) -> Self:
        if (self.table is None) == (self.query is None):
            raise ValueError("give either `table` or `query`")
        if self.query is not None and not self.order_by and self.watermark is None:
            raise ValueError("a `query` has no order of its own; list columns in `order_by`")
        return self


class SparkSource(_Source):
    """Rows that Spark reads, on SPARK_MASTER: a table of its catalogue, a path, or a query.

    `format` and `options` are those of Spark's reader and go with a path. Rows come in the order of
    `order_by`, then of all other columns, so that it never depends on the cluster.
    """

    kind: Literal["spark"]
    table: Annotated[str, Field(min_length=1)] | None = None
    path: Annotated[str, Field(min_length=1)] | None = None
    query: Annotated[str, Field(min_length=1)] | None = None
    format: Annotated[str, Field(min_length=1)] = "parquet"
    options: dict[str, Scalar] = {}
    order_by: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _names_one_thing(self) -> Self:
        named = [name for name in ("table", "path", "query") if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError("give one of `table`, `path` and `query`")
        if self.options and self.path is None:
            raise ValueError("`options` go with a `path`; remove them")
        if secret := SECRETS & {key.lower() for key in self.options}:
            raise ValueError(
                f"`options` holds a {min(secret)}, which would be read by all who read this file; "
                "put it into Spark's own spark-defaults.conf"
            )
        return self


class PredictionsSource(_Database):
    """What the service predicted and what proved to be true, as rows to learn from.

    Without `base` they are all there is; with it they are appended to the rows of that source,
    whose columns they take, with `constants` for those of them that the log does not have.
    """

    kind: Literal["predictions"]
    url: str = "sqlite:///.treeline/predictions.sqlite"
    model: Annotated[str, Field(min_length=1)]
    target: Annotated[str, Field(min_length=1)]
    constants: dict[str, Scalar] = {}
    base: "BaseSpec | None" = None

    @property
    def untyped(self) -> bool:
        """Whether its rows are appended to those of a CSV, as texts."""
        return self.base is not None and self.base.untyped

    @field_validator("base")
    @classmethod
    def _is_whole(cls, base: "BaseSpec | None") -> "BaseSpec | None":
        if base is not None and (base.incremental or base.columns or base.where or base.key):
            raise ValueError(
                "`columns`, `where` and `key` belong beside `base`, and its rows are collected "
                "whole: take these and `watermark` out of it"
            )
        return base


class PythonSource(_Source):
    """Rows that a function gives: one of `src/own`, or of an installed library.

    It is called with `options`, and returns a frame of pandas or a table of Arrow, or yields
    several of the same columns.
    """

    kind: Literal["python"]
    function: str
    options: dict[str, Any] = {}

    @field_validator("function")
    @classmethod
    def _is_followed(cls, path: str) -> str:
        if (reason := objection(path)) is not None:
            raise ValueError(reason)
        return path


BaseSpec = Annotated[
    SimulateSource
    | FileSource
    | UrlSource
    | LibrarySource
    | SqlSource
    | SparkSource
    | PythonSource,
    Field(discriminator="kind"),
]
SourceSpec = Annotated[
    SimulateSource
    | FileSource
    | UrlSource
    | LibrarySource
    | SqlSource
    | SparkSource
    | PythonSource
    | PredictionsSource,
    Field(discriminator="kind"),
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


def check_key(key: str, *, carried: Mapping[str, str], shown: Collection[str]) -> None:
    """Raise ValueError unless a key is a carried column whose values are plain."""
    if key in shown:
        raise ValueError(
            f"`source.key` names {key!r}, a feature or the target; name another column, as no "
            "model may see a key"
        )
    if carried.get(key) not in ("text", "integer"):
        raise ValueError(
            f"`source.key` names {key!r}; declare it under `source.columns`, as text or integer"
        )
