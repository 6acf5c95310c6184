"""Counters and histograms that Prometheus reads.

With PROMETHEUS_MULTIPROC_DIR the counts of all worker processes meet in the files of that folder,
so that any of them answers with the sum, also of those that have ended; without, an application
answers with its own. `api.telemetry.gauges` adds what is true at the moment of asking.

prometheus_client maps files that are longer than what the disk has given them. On a full disk the
first count that falls into such a place ends the process with SIGBUS. Here room is reserved before
it is mapped; where there is none, a worker counts in its own memory, predictions go on, and its
counts go to the file when there is room again.
"""

import asyncio
import logging
import mmap
import os
from collections.abc import AsyncIterator, Callable, Hashable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from weakref import WeakSet

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
    values,
)
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

from api.background import beside
from api.telemetry.gauges import CatalogueCollector, Gauges, Observed
from api.telemetry.recent import RecentCollector
from treeline.contract.features import Label
from treeline.contract.texts import text_of

INITIAL_BYTES = 1 << 16
ENTRY_BYTES = 4 + 8 + 16  # beside its key: the length of the key, padding, value and time

logger = logging.getLogger(__name__)


class SharedFile(MmapedDict):
    """A dict of numbers in a file, or in memory as long as the disk has no room for the file."""

    in_memory: "WeakSet[SharedFile]" = WeakSet()

    _f: Any
    _m: mmap.mmap
    _capacity: int
    _used: int
    _positions: dict[str, int]

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        """Open or make the file."""
        self._fname = filename
        try:
            if not read_mode:
                reserve(Path(filename))
            super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]
        except OSError as error:
            if read_mode:
                raise
            self._f, self._positions, self._used = None, {}, 8
            self._capacity = INITIAL_BYTES
            self._go_on_in_memory(error, before=b"\x08")

    def restore(self) -> None:
        """Put what is in memory into the file; raises OSError where there is still no room."""
        path = Path(self._fname)
        reserve(path, self._capacity)
        file = path.open("r+b")
        shared = mmap.mmap(file.fileno(), self._capacity)
        shared[8 : self._used] = self._m[8 : self._used]
        shared[:4] = self._m[:4]
        self._m, self._f = shared, file
        self.in_memory.discard(self)

    def _init_value(self, key: str) -> None:
        """Make room for a key, and enter it; called with the lock of prometheus_client held."""
        while self._used + len(key.encode()) + ENTRY_BYTES > self._capacity:
            self._grow()
        super()._init_value(key)  # type: ignore[no-untyped-call]

    def _grow(self) -> None:
        before = bytes(self._m[: self._used])
        self._capacity *= 2
        if self._f is not None:
            try:
                os.posix_fallocate(self._f.fileno(), 0, self._capacity)
                self._m = mmap.mmap(self._f.fileno(), self._capacity)
                return
            except OSError as error:
                self._f.close()
                self._f = None
                self._go_on_in_memory(error, before=before)
                return
        self._m = mmap.mmap(-1, self._capacity)
        self._m[: len(before)] = before

    def _go_on_in_memory(self, error: OSError, *, before: bytes) -> None:
        self._m = mmap.mmap(-1, self._capacity)
        self._m[: len(before)] = before
        self.in_memory.add(self)
        logger.error(
            "The metrics of this process are not seen by others (%s): make room where %s is",
            *(error.strerror, self._fname),
        )


def reserve(path: Path, size: int = INITIAL_BYTES) -> None:
    """Give a file so many bytes that the disk has; raises OSError, and leaves no new file."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    new = os.fstat(descriptor).st_size == 0
    try:
        os.posix_fallocate(descriptor, 0, max(size, os.fstat(descriptor).st_size))
    except OSError:
        if new:  # a file without content is one that no reader understands
            path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def install() -> None:
    """Let prometheus_client keep its counts in such files."""
    values.MmapedDict = SharedFile  # type: ignore[attr-defined]


def restore() -> None:
    """Put what processes had to count in memory into their files, where there is room now."""
    for each in list(SharedFile.in_memory):
        try:
            each.restore()
        except OSError:
            return
        logger.warning("The metrics of this process are seen again, in %s", each._fname)


FOLDER = "PROMETHEUS_MULTIPROC_DIR"
MODEL = ("model", "version")
OTHER = "other"
MOST_MODELS = 1000  # versions, and names, told apart since the start; no series is forgotten
REFRESH_SECONDS = 1
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# A prediction takes well under a millisecond, a request for a whole batch minutes.
PREDICTION_SECONDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005),
    *(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600)


class PredictionFamilies:
    """What is counted of single predictions, each by model and version."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.predictions = Counter(
            "treeline_predictions_total",
            "Single predictions that were answered, by class; a number has none.",
            (*MODEL, "class"),
            registry=registry,
        )
        self.durations = Histogram(
            "treeline_prediction_duration_seconds",
            "From the first byte read of a request for one prediction to its answer.",
            MODEL,
            buckets=PREDICTION_SECONDS,
            registry=registry,
        )
        self.refused = Counter(
            "treeline_refused_fields_total",
            "What was wrong with the input of predictions, by feature.",
            (*MODEL, "field"),
            registry=registry,
        )
        self.problems = Counter(
            "treeline_prediction_problems_total",
            "Requests for single predictions that ended with a problem, by HTTP status.",
            (*MODEL, "status"),
            registry=registry,
        )


class ModelMetrics:
    """The counters of one version of a model, looked up once; `answered` is on the hot path."""

    def __init__(
        self,
        families: PredictionFamilies,
        labels: tuple[str, str],
        *,
        classes: Iterable[Label],
        features: Iterable[str],
    ) -> None:
        names = [text_of(each) for each in classes] or [""]
        self._by_class = [families.predictions.labels(*labels, name).inc for name in names]
        self._observe = families.durations.labels(*labels).observe
        self._families, self._labels, self._features = families, labels, frozenset(features)

    def answered(self, label: int | None, seconds: float) -> None:
        """Count one prediction: the code of its class, None for a number; and how long it took."""
        self._by_class[label or 0]()
        self._observe(seconds)

    def refused(self, fields: Iterable[str]) -> None:
        """Count what was wrong with an input, by feature; what is no feature counts as `other`.

        A place in a batch, such as `row 3: Light_ISF`, counts as its feature.
        """
        for field in fields:
            names = (field, field.partition(": ")[2])
            feature = next((name for name in names if name in self._features), OTHER)
            self._families.refused.labels(*self._labels, feature).inc()

    def failed(self, status: int) -> None:
        """Count one request for a prediction that ended with a problem of this HTTP status."""
        self._families.problems.labels(*self._labels, str(status)).inc()


class Metrics:
    """Everything that an application counts; each belongs to one application of a process."""

    def __init__(self) -> None:
        # Otherwise each series has a second one, of the time when it was first counted.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        install()
        self._registry = own = CollectorRegistry()
        self.shared = FOLDER in os.environ
        """Whether other processes tell these gauges too, so that they must be kept fresh."""
        self._models: dict[tuple[str, str], ModelMetrics] = {}
        self._known: set[tuple[str, str]] = set()
        self._swapped: set[str] = set()
        self._families = PredictionFamilies(own)
        self._requests = Counter(
            "treeline_http_requests_total",
            "Requests, by the template of their route; single predictions are counted apart.",
            ("route", "method", "status"),
            registry=own,
        )
        self._durations = Histogram(
            "treeline_http_request_duration_seconds",
            "How long those requests took.",
            ("route", "method"),
            buckets=REQUEST_SECONDS,
            registry=own,
        )
        self._busy = Counter(
            "treeline_busy_refusals_total",
            "Requests told to come back, as too many were under way.",
            registry=own,
        )
        self._swaps = Counter(
            "treeline_model_swaps_total",
            "Changes of a model while it was served, by how they ended.",
            ("model", "outcome"),
            registry=own,
        )
        self._rows = Counter(
            "treeline_batch_rows_total",
            "Rows of batches, by whether they were answered or refused.",
            (*MODEL, "outcome"),
            registry=own,
        )
        self._gauges = Gauges(own)
        self._catalogue = CatalogueCollector()
        self._recent = RecentCollector()

    def model(
        self, name: str, version: str, classes: Iterable[Label], *, features: Iterable[str] = ()
    ) -> ModelMetrics:
        """Return the counters of one version of a model, always the same for the same one."""
        known = self._models.get((name, version))
        if known is None:
            labels = self._labels(name, version)
            if labels[0] == OTHER:
                classes, features = [OTHER for _ in classes], ()
            known = ModelMetrics(self._families, labels, classes=classes, features=features)
            if labels[0] != OTHER:
                self._models[name, version] = known
        return known

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request that is none for a single prediction, by the template of its route."""
        known = method if method in METHODS else OTHER
        self._requests.labels(route, known, str(status)).inc()
        self._durations.labels(route, known).observe(seconds)

    def busy(self) -> None:
        """Count a request that was turned away as too many were under way."""
        self._busy.inc()

    def swap(self, model: str, outcome: str) -> None:
        """Count a change of a model while it was served: `swapped`, `refused` or `removed`."""
        name = model if remembered(model, self._swapped) else OTHER
        self._swaps.labels(name, outcome).inc()

    def batch_rows(self, model: str, version: str, outcome: str, rows: int) -> None:
        """Count rows of a batch: `answered` or `refused`."""
        self._rows.labels(*self._labels(model, version), outcome).inc(rows)

    def refresh(self, observed: Observed) -> None:
        """Note what is true of this worker process now, for whichever process is asked."""
        restore()
        self._gauges.refresh(observed)
        self._catalogue.look(observed.catalogue, observed.other_versions)
        self._recent.look(observed.log)

    def exposed(self) -> bytes:
        """Return everything in the text format of Prometheus, the gauges as last refreshed.

        With several processes that is the work of milliseconds: it belongs into a thread.
        """
        registry = CollectorRegistry()
        registry.register(self._catalogue)
        registry.register(self._recent)
        if not self.shared:
            return generate_latest(self._registry) + generate_latest(registry)
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def _labels(self, name: str, version: str) -> tuple[str, str]:
        """Return the labels of a model; all that come after too many others share one."""
        labels = (name, version)
        return labels if remembered(labels, self._known) else (OTHER, OTHER)


def remembered(label: Hashable, known: set[Any]) -> bool:
    """Tell whether a label is known, or may become so as there are not too many."""
    if label not in known and len(known) >= MOST_MODELS:
        return False
    known.add(label)
    return True


@asynccontextmanager
async def keeping_fresh(metrics: Metrics, refresh: Callable[[], None]) -> AsyncIterator[None]:
    """Note every second what is true of this process, where another may be asked for it."""

    async def run() -> None:
        while metrics.shared:
            refresh()
            await asyncio.sleep(REFRESH_SECONDS)

    async with beside(run()):
        yield
