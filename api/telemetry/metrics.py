"""What happens in the service → counters and histograms that Prometheus reads.

With PROMETHEUS_MULTIPROC_DIR the counts of all worker processes meet in the files of that folder,
so that any of them tells the sum, also of those that have ended; without, an application tells
its own. `api.telemetry.gauges` adds what is true at the moment of asking.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Hashable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from api.background import beside
from api.telemetry import shared_files
from api.telemetry.gauges import CatalogueCollector, Gauges, Observed
from treeline.contract.features import Label
from treeline.contract.texts import text_of

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
        shared_files.install()
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

    def model(
        self, name: str, version: str, classes: Iterable[Label], *, features: Iterable[str] = ()
    ) -> ModelMetrics:
        """Return the counters of one version of a model, always the same for the same one."""
        found = self._models.get((name, version))
        if found is None:
            labels = self._labels(name, version)
            if labels[0] == OTHER:
                classes, features = [OTHER for _ in classes], ()
            found = ModelMetrics(self._families, labels, classes=classes, features=features)
            if labels[0] != OTHER:
                self._models[name, version] = found
        return found

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
        shared_files.restore()
        self._gauges.refresh(observed)
        self._catalogue.look(observed.catalogue, observed.kept)

    def exposed(self) -> bytes:
        """Return everything in the text format of Prometheus, the gauges as last refreshed.

        With several processes that is the work of milliseconds: it belongs into a thread.
        """
        told = CollectorRegistry()
        told.register(self._catalogue)
        if not self.shared:
            return generate_latest(self._registry) + generate_latest(told)
        MultiProcessCollector(told)  # type: ignore[no-untyped-call]
        return generate_latest(told)

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
