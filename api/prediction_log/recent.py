"""Rows on their way to the database → how inputs and answers of the last day are spread.

The shipper counts them, a process of its own: no request waits for it, and no row is held. What the
counts come to is a file of the state folder, replaced whole, from which each worker of a replica
tells the same. Nothing is remembered over a restart of the shipper. These are figures for a
dashboard; `treeline monitor` tests what they hint at.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from api.prediction_log.clock import CLOCKS, Clocks
from treeline.artifact.store import SIGNATURE_FILE
from treeline.contract.counts import Bins, Counts, of_numbers, of_texts, stability
from treeline.contract.features import Closed, whole
from treeline.contract.signature import Signature
from treeline.contract.texts import is_slug, text_of
from treeline.errors import ArtifactRejectedError
from treeline.files import write_text

HOUR_SECONDS = 3600
HOURS = 24
MOST_COLUMNS = 2_000  # features and classes of all that answered in the last day: some series each
WRITE_SECONDS = 10.0
REPEAT_SECONDS = 60.0  # between two files that say the same
STALE_SECONDS = 300.0  # after which a file was left by a shipper that is no more
FILE = "recent.json"
REGISTERED = Path("registry/artifacts")

Row = Mapping[str, Any]
Key = tuple[str, str]  # model and version
Hour = int  # since 1970

logger = logging.getLogger(__name__)


class RecentFeature(Closed):
    """How one feature is spread: shares of rows, and of values that are known.

    `missing` and what it was in the reference are None where no row can lack it; `psi` is the
    population stability index, `moved` how many deviations of the reference the mean has moved.
    """

    missing: float | None = None
    missing_before: float | None = None
    beyond: float | None = None
    psi: float | None = None
    moved: float | None = None


class RecentVersion(Closed):
    """What one version of a model answered in the last day.

    `classes` are shares of the answers, `mean` that of the values, or of the probabilities of the
    positive class.
    """

    model: str
    version: str
    rows: int
    features: dict[str, RecentFeature] = {}
    classes: dict[str, float] = {}
    mean: float | None = None


class RecentRows(Closed):
    """All of it, as it was at a time, in seconds since 1970."""

    time: float
    versions: tuple[RecentVersion, ...] = ()

    @classmethod
    def read(cls, state_dir: Path, *, now: float) -> "RecentRows":
        """Read what the shipper of a state folder wrote last: nothing where it is at work no more.

        Nothing either where the file is of another release.
        """
        try:
            there = cls.model_validate_json((state_dir / FILE).read_bytes())
        except (OSError, ValueError):
            return cls(time=now)
        return there if abs(now - there.time) < STALE_SECONDS else cls(time=now)


@dataclass(frozen=True)
class Watched:
    """A version whose rows are counted: its contract, and the bins of features that have any."""

    signature: Signature
    bins: Mapping[str, Bins]

    @property
    def columns(self) -> int:
        """How many features and classes there are series of."""
        return len(self.bins) + len(self.signature.classes)

    @classmethod
    def of(cls, signature: Signature, redacted: frozenset[str]) -> "Watched":
        """Return what is counted of a version; nothing of what the log does not hold."""
        bins = {}
        for name, feature in signature.features.items():
            if name in redacted or (spread := signature.reference.get(name)) is None:
                continue
            if len(spread.shares) == (one := Bins.of(feature, spread)).count:
                bins[name] = one
        return cls(signature, bins)


@dataclass(frozen=True)
class Tally:
    """Counts of rows of one version; `total` is the sum of `numbers` values or probabilities."""

    rows: int = 0
    features: Mapping[str, Counts] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)
    numbers: int = 0
    total: float = 0.0

    def __add__(self, other: "Tally") -> "Tally":
        """Return the counts of both."""
        features = dict(self.features)
        for name, counts in other.features.items():
            features[name] = features[name] + counts if name in features else counts
        return Tally(
            self.rows + other.rows,
            features,
            Counter(self.labels) + Counter(other.labels),
            self.numbers + other.numbers,
            self.total + other.total,
        )


Tallies = dict[tuple[Key, Hour], Tally]


class Signatures:
    """Finds the contract of a version: of a model on disk, or of one of the registry."""

    def __init__(self, model_dir: Path, state_dir: Path) -> None:
        self._model_dir, self._registered = model_dir, state_dir / REGISTERED

    def __call__(self, model: str, version: str) -> Signature | None:
        """Return the signature of a version; None where it is on disk no more, or never was."""
        if not is_slug(model):
            return None
        for folder in self._folders():
            with suppress(OSError, ArtifactRejectedError):
                signature = Signature.read(folder / model / SIGNATURE_FILE)
                if (signature.name, signature.version) == (model, version):
                    return signature
        return None

    def _folders(self) -> Iterable[Path]:
        yield self._model_dir
        with suppress(OSError):
            yield from self._registered.iterdir()


class Recent:
    """The counts of the last day, by version and by hour of prediction."""

    def __init__(
        self,
        state_dir: Path,
        signature_of: Callable[[str, str], Signature | None],
        redacted: Callable[[str], frozenset[str]],
        *,
        clocks: Clocks = CLOCKS,
    ) -> None:
        """Count rows of versions whose signature is known, without the features `redacted`."""
        self._file = state_dir / FILE
        self._signature_of, self._redacted = signature_of, redacted
        self._wall, self._steady = clocks.wall, clocks.steady
        self._watched: dict[Key, Watched | None] = {}
        self._tallies: Tallies = {}
        self._write_at = 0.0
        self._written: RecentRows | None = None
        self._is_full = False

    def counted(self, rows: Sequence[Row]) -> Tallies:
        """Return the counts of rows as they are read, for `add` once the database has them."""
        groups: dict[tuple[Key, Hour], list[Row]] = {}
        for row in rows:
            key = (row["model"], row["version"]), int(row["time"] // HOUR_SECONDS)
            groups.setdefault(key, []).append(row)
        return {
            (key, hour): tally_of(watched, some)
            for (key, hour), some in groups.items()
            if self._is_recent(hour) and (watched := self._of(key)) is not None
        }

    def add(self, tallies: Tallies) -> None:
        """Add counts."""
        add_to(self._tallies, tallies)

    def write(self) -> None:
        """Write the file anew, when it is time to and there is something to say."""
        if self._steady() < self._write_at:
            return
        self._write_at = self._steady() + WRITE_SECONDS
        now, written = RecentRows(time=self._wall(), versions=self._versions()), self._written
        if (
            written is not None
            and written.versions == now.versions
            and abs(now.time - written.time) < REPEAT_SECONDS
        ):
            return
        if not self._file.parent.is_dir():
            return  # somebody removed the state folder: it is not made again
        with suppress(OSError):  # of a disk that is full, the metrics of the log tell
            write_text(self._file, now.model_dump_json())
            self._written = now

    def _versions(self) -> tuple[RecentVersion, ...]:
        """Return what the last day comes to, and forget what was before."""
        by_version: dict[Key, Tally] = {}
        for (key, hour), tally in list(self._tallies.items()):
            if self._is_recent(hour):
                by_version[key] = by_version.get(key, Tally()) + tally
            else:
                del self._tallies[key, hour]
        # What nobody asks any more makes room; a signature that was not there may be by now.
        self._watched = {key: each for key, each in self._watched.items() if key in by_version}
        return tuple(
            summary(watched, tally)
            for key, tally in by_version.items()
            if (watched := self._watched[key]) is not None
        )

    def _is_recent(self, hour: Hour) -> bool:
        now = int(self._wall() // HOUR_SECONDS)
        return now - HOURS < hour <= now + 1

    def _of(self, key: Key) -> Watched | None:
        if key not in self._watched:
            self._watched[key] = self._looked_up(key)
        return self._watched[key]

    def _looked_up(self, key: Key) -> Watched | None:
        signature = self._signature_of(*key)
        if signature is None:
            return None
        watched = Watched.of(signature, self._redacted(signature.name))
        count = sum(each.columns for each in self._watched.values() if each is not None)
        if count + watched.columns <= MOST_COLUMNS:
            return watched
        if not self._is_full:
            logger.warning(
                "More than %d features and classes in a day: %s is not in the metrics of inputs",
                *(MOST_COLUMNS, signature.name),
            )
        self._is_full = True
        return None


def add_to(sums: Tallies, tallies: Tallies) -> None:
    """Add counts to others, in place."""
    for key, tally in tallies.items():
        sums[key] = sums[key] + tally if key in sums else tally


def tally_of(watched: Watched, rows: Sequence[Row]) -> Tally:
    """Count rows of one version: their `features`, `prediction` and `probability`."""
    records = [each["features"] if isinstance(each["features"], dict) else {} for each in rows]
    features = {
        name: _counts([record.get(name) for record in records], bins)
        for name, bins in watched.bins.items()
    }
    target = watched.signature.target
    if target.task == "regression":
        numbers = _numbers(row["prediction"] for row in rows)
        return Tally(len(rows), features, {}, len(numbers), sum(numbers))
    classes = set(map(text_of, watched.signature.classes))
    names = Counter(_class(row["prediction"]) for row in rows)
    labels = {name: count for name, count in names.items() if name in classes}
    shares = _numbers(row["probability"] for row in rows) if target.task == "binary" else []
    return Tally(len(rows), features, labels, len(shares), sum(shares))


def _counts(values: Sequence[Any], bins: Bins) -> Counts:
    rows, missing = len(values), sum(each is None for each in values)
    if bins.values:
        texts = Counter(text_of(each) for each in values if each is not None)
        if bins.fill is not None:
            texts[bins.fill_text] += missing
        return of_texts(texts, bins, rows=rows, missing=missing)
    known = _numbers(values)
    if bins.fill is not None:
        known += [float(bins.fill)] * missing
    return of_numbers(np.array(known, dtype=np.float64), bins, rows=rows, missing=missing)


def _numbers(values: Iterable[Any]) -> list[float]:
    """Return the values that are finite numbers."""
    return [float(each) for each in values if isinstance(each, int | float) and isfinite(each)]


def _class(value: Any) -> str:
    return text_of(whole(value)) if isinstance(value, bool | int | float | str) else ""


def summary(watched: Watched, tally: Tally) -> RecentVersion:
    """Return what counts of one version come to."""
    signature, answers = watched.signature, sum(tally.labels.values())
    return RecentVersion(
        model=signature.name,
        version=signature.version,
        rows=tally.rows,
        features={
            name: _summary_of(name, watched, counts) for name, counts in tally.features.items()
        },
        classes={name: count / answers for name, count in tally.labels.items()},
        mean=tally.total / tally.numbers if tally.numbers else None,
    )


def _summary_of(name: str, watched: Watched, counts: Counts) -> RecentFeature:
    """Return figures of one feature: the index where it is known of how many rows the reference is.

    A feature that has a fill lacks nothing as a model sees it, and neither does one that must be
    there: the service refuses a record without.
    """
    signature = watched.signature
    feature, reference = signature.features[name], signature.reference[name]
    may_lack = feature.nullable and feature.fill is None and counts.rows
    values = counts.known + counts.unlike
    learnt = signature.learnt
    psi = moved = None
    if counts.known and learnt is not None:
        before = learnt.rows * (1 - reference.missing) * np.asarray(reference.shares)
        psi = stability(before, counts.shares)
    if counts.known and reference.mean is not None and reference.deviation:
        moved = (counts.mean - reference.mean) / reference.deviation
    return RecentFeature(
        missing=counts.missing / counts.rows if may_lack else None,
        missing_before=reference.missing if may_lack else None,
        beyond=(counts.beyond + counts.unlike) / values if values else None,
        psi=psi,
        moved=moved,
    )
