"""How inputs and answers of the last day are spread → gauges by model and feature.

The shipper of the prediction log counts, so that there are none without a log. Each worker tells
what stands in its file at the moment of asking.
"""

import time
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from api.prediction_log.log import PredictionLog
from api.prediction_log.recent import RecentFeature, RecentRows, RecentVersion

MODEL = ("model", "version")

# By the field of a feature that each tells.
OF_FEATURES = {
    "missing": ("treeline_recent_missing_ratio", "Share of rows that lack a feature."),
    "missing_before": (
        "treeline_reference_missing_ratio",
        "Share of training rows that lacked a feature.",
    ),
    "beyond": (
        "treeline_recent_beyond_ratio",
        "Share of values that are beyond the range of the training rows, or of no category.",
    ),
    "psi": (
        "treeline_recent_psi",
        "How far a feature is from the training rows: population stability index.",
    ),
    "moved": (
        "treeline_recent_mean_shift",
        "How far the mean of a feature has moved, in deviations of the training rows.",
    ),
}


class RecentCollector(Collector):
    """Tells what the shipper has counted."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def look(self, log: PredictionLog | None) -> None:
        """Take note of where a log is counted; the file is read when somebody asks."""
        self._folder = None if log is None else log.settings.state_dir

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield what is told; families without samples where nothing was counted."""
        now = time.time()
        recent = RecentRows(time=now)
        if self._folder is not None:
            recent = RecentRows.read(self._folder, now=now)
        yield from _of_versions(recent.versions)
        for name, (metric, text) in OF_FEATURES.items():
            yield _of_features(name, metric, text, recent.versions)


def _of_versions(versions: tuple[RecentVersion, ...]) -> Iterator[GaugeMetricFamily]:
    rows = GaugeMetricFamily(
        "treeline_recent_rows", "Rows of the last day that these shares are of.", labels=MODEL
    )
    classes = GaugeMetricFamily(
        "treeline_recent_class_ratio", "Share of the answers.", labels=(*MODEL, "class")
    )
    mean = GaugeMetricFamily(
        "treeline_recent_answer_mean",
        "Mean of the values, or of the probabilities of the positive class.",
        labels=MODEL,
    )
    for each in versions:
        own = (each.model, each.version)
        rows.add_metric(own, each.rows)
        for label, share in each.classes.items():
            classes.add_metric((*own, label), share)
        if each.mean is not None:
            mean.add_metric(own, each.mean)
    yield from (rows, classes, mean)


def _of_features(
    name: str, metric: str, text: str, versions: tuple[RecentVersion, ...]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(metric, text, labels=(*MODEL, "feature"))
    for each in versions:
        for feature, figures in each.features.items():
            if (value := _value(figures, name)) is not None:
                family.add_metric((each.model, each.version, feature), value)
    return family


def _value(figures: RecentFeature, name: str) -> float | None:
    value: float | None = getattr(figures, name)
    return value
