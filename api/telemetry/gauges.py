"""What is true of the service at the moment of asking → gauges: load, log, models."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from api.http.auth import Guard
from api.http.load import Load
from api.models.catalogue import Catalogue, Entry
from api.prediction_log.log import PredictionLog
from api.sandbox.sandbox import State


@dataclass(frozen=True)
class Observed:
    """What a process is at: what its gauges tell.

    `other_versions` are versions of the registry that are loaded besides, `runs` is what graphs of
    strangers are at; `registry_away` is None where no registry is followed, and
    `store_away` where models are fetched from nowhere.
    """

    catalogue: Catalogue
    other_versions: Sequence[Entry]
    load: Load
    guard: Guard
    log: PredictionLog | None
    runs: State
    registry_away: bool | None
    store_away: bool | None


class Gauges:
    """What each worker process notes of itself; those of ended ones count no more."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._under_way = Gauge(
            "treeline_requests_under_way",
            "Requests that are being answered.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._refused_models = Gauge(
            "treeline_refused_models",
            "Models whose artifact is refused, served in their former version or not at all.",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self._keys_refused = Gauge(
            "treeline_keys_file_refused",
            "1 where the file of API keys cannot be used and its former keys are.",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self._refused_requests = Counter(
            "treeline_refused_keys_total",
            "Requests whose API key is unknown, has expired or lacks the scope.",
            registry=registry,
        )
        self._refused_before = 0
        self._waiting_records = Gauge(
            "treeline_prediction_log_waiting_records",
            "Predictions that are in memory only, not on disk yet.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._waiting_bytes = Gauge(
            "treeline_prediction_log_waiting_bytes",
            "What waits on disk for the database, of all processes that share the folder.",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self._set_aside = Gauge(
            "treeline_prediction_log_set_aside_files",
            "Files in the state folder of what the database cannot take, or was damaged.",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self._lost = Counter(
            "treeline_prediction_log_lost_total",
            "Predictions that were answered and could not be recorded.",
            registry=registry,
        )
        self._lost_before = 0
        self._killed = Counter(
            "treeline_runs_ended_total",
            "Runs of uploaded and registered models that were ended, by why.",
            ("reason",),
            registry=registry,
        )
        self._ended_before = {"killed": 0, "crashed": 0}
        self._registry_away = Gauge(
            "treeline_registry_away",
            "1 where the registry that is followed cannot be asked.",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self._store_away = Gauge(
            "treeline_models_store_away",
            "1 where models cannot be fetched as their store names them.",
            multiprocess_mode="livemax",
            registry=registry,
        )

    def refresh(self, observed: Observed) -> None:
        """Take over what the services of an application are at."""
        self._under_way.set(observed.load.under_way)
        catalogue, keys = observed.catalogue, observed.guard.keys
        refused = observed.guard.refusals.total
        self._refused_requests.inc(refused - self._refused_before)
        self._refused_before = refused
        broken = [
            each
            for each in catalogue.entries()
            if each.refused or not (each.ready or each.unloaded)
        ]
        self._refused_models.set(len(broken))
        keys.look()
        self._keys_refused.set(bool(keys.refused))
        if (log := observed.log) is not None:
            self._waiting_records.set(log.waiting_records)
            self._waiting_bytes.set(log.waiting_bytes())
            self._set_aside.set(log.set_aside())
            lost = log.lost_total
            self._lost.inc(lost - self._lost_before)
            self._lost_before = lost
        for reason, count in {
            "killed": observed.runs.killed,
            "crashed": observed.runs.crashed,
        }.items():
            self._killed.labels(reason).inc(count - self._ended_before[reason])
            self._ended_before[reason] = count
        if observed.registry_away is not None:
            self._registry_away.set(observed.registry_away)
        if observed.store_away is not None:
            self._store_away.set(observed.store_away)


class CatalogueCollector(Collector):
    """Tells which models are served, and since when; as the process that is asked knows it."""

    def __init__(self) -> None:
        self._since: WeakKeyDictionary[object, float] = WeakKeyDictionary()
        self._served: list[tuple[tuple[str, str], float]] = []

    def look(self, catalogue: Catalogue, others: Iterable[Entry]) -> None:
        """Take note of the models that are served now, and of other versions that are loaded."""
        now = time.time()
        self._served = [
            ((entry.name, entry.version or ""), self._since.setdefault(loaded, now))
            for entry in distinct([*catalogue.entries(), *others])
            if (loaded := entry.predictor or entry.tensor) is not None
        ]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield what is told."""
        labels = ("model", "version")
        info = GaugeMetricFamily("treeline_model_info", "1 for each model served.", labels=labels)
        since = GaugeMetricFamily(
            "treeline_model_loaded_timestamp_seconds",
            "When the version that is served was loaded.",
            labels=labels,
        )
        for named, seconds in self._served:
            info.add_metric(named, 1)
            since.add_metric(named, seconds)
        yield info
        yield since


def distinct(entries: Iterable[Entry]) -> list[Entry]:
    """Return one entry of each version: a series must not be told twice."""
    return list({(entry.name, entry.version): entry for entry in entries}.values())
