"""Chunks of a log → what one window holds of one version: counts, scores, rows with truth. Pure.

Features are counted chunk by chunk. What is held of each row is a label and its scores, and of a
row whose truth is known that, its times and the values that it is sliced by: some 20 bytes.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from treeline.artifact import Prediction
from treeline.contract.counts import Bins, Counts
from treeline.contract.signature import Signature
from treeline.monitoring.alpha_spending import DAY_SECONDS
from treeline.monitoring.counts import counted
from treeline.monitoring.logs import LogQuery
from treeline.monitoring.rows import Logged, Rows, joined, typed

Array = NDArray[Any]


@dataclass(frozen=True)
class Labelled:
    """Answers whose truth came in the window: times of prediction, answers, truth, slices.

    Arrays have shape (n_rows,); `slices` holds the values of each sliced feature, as texts.
    """

    times: Array
    answers: Prediction
    truth: Array
    slices: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True)
class Window:
    """What a version answered from `since` on, and before `until`.

    `answers` are in the order of the log, `is_labelled` says which have a truth by now;
    `labelled` are rows whose truth came in the window, whenever they were predicted.
    """

    rows: int = 0
    features: Mapping[str, Counts] = field(default_factory=dict)
    answers: Prediction | None = None
    is_labelled: Array = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    labelled: Labelled | None = None
    versions: Mapping[str, int] = field(default_factory=dict)
    strange: int = 0
    days: frozenset[int] = frozenset()


def window(
    chunks: Iterable[Logged], signature: Signature, query: LogQuery, *, slices: Iterable[str]
) -> Window:
    """Count the rows that the version of a signature answered; all others by version."""
    versions: Counter[str] = Counter()

    def own() -> Iterator[Rows]:
        for chunk in chunks:
            inside = chunk.times >= query.since
            versions.update(
                each for each, is_inside in zip(chunk.versions, inside, strict=True) if is_inside
            )
            logged = chunk.of_version(signature.version)
            if len(logged.times):
                yield typed(logged, signature)

    counted = window_of(own(), signature, query, slices=slices)
    return replace(counted, versions=dict(versions.most_common()))


def window_of(
    parts: Iterable[Rows], signature: Signature, query: LogQuery, *, slices: Iterable[str]
) -> Window:
    """Count typed rows, all of one version."""
    bins = {
        name: Bins.of(feature, signature.reference[name])
        for name, feature in signature.features.items()
        if name in signature.reference
    }
    gathered = _Gathered(bins, tuple(slices))
    for rows in parts:
        gathered.add(rows, query)
    return gathered.window()


class _Gathered:
    """What has been read so far."""

    def __init__(self, bins: Mapping[str, Bins], slices: tuple[str, ...]) -> None:
        self._bins, self._slices = bins, slices
        self._features: dict[str, Counts] = {}
        self._answers: list[Prediction] = []
        self._is_labelled: list[Array] = []
        self._labelled: list[Labelled] = []
        self._strange = 0
        self._days: set[int] = set()

    def add(self, rows: Rows, query: LogQuery) -> None:
        """Add rows of the version."""
        self._strange += rows.strange
        newly_labelled = (
            rows.labelled & (rows.truth_times >= query.since) & (rows.truth_times < query.until)
        )
        if newly_labelled.any():
            self._labelled.append(self._of(rows.where(newly_labelled)))
        inside = rows.times >= query.since
        if not inside.any():
            return
        those = rows if inside.all() else rows.where(inside)
        for name, bins in self._bins.items():
            counts, before = counted(those.features[name], bins), self._features.get(name)
            self._features[name] = counts if before is None else before + counts
        self._answers.append(those.answers)
        self._is_labelled.append(those.labelled)
        self._days |= {int(day) for day in np.unique(those.times // DAY_SECONDS)}

    def _of(self, rows: Rows) -> Labelled:
        slices = {name: _texts(rows.features[name]) for name in self._slices}
        return Labelled(rows.times, rows.answers, rows.truth, slices)

    def window(self) -> Window:
        """Return all of it."""
        is_labelled = self._is_labelled
        return Window(
            rows=sum(len(each) for each in is_labelled),
            features=self._features,
            answers=joined(self._answers) if self._answers else None,
            is_labelled=np.concatenate(is_labelled) if is_labelled else np.zeros(0, dtype=np.bool_),
            labelled=_all(self._labelled, self._slices) if self._labelled else None,
            strange=self._strange,
            days=frozenset(self._days),
        )


def _all(parts: list[Labelled], slices: tuple[str, ...]) -> Labelled:
    return Labelled(
        np.concatenate([each.times for each in parts]),
        joined([each.answers for each in parts]),
        np.concatenate([each.truth for each in parts]),
        {name: np.concatenate([each.slices[name] for each in parts]) for name in slices},
    )


def _texts(column: pa.ChunkedArray) -> Array:
    """Return values as texts that are held once each, empty where missing, shape (n_rows,)."""
    encoded = column.cast(pa.string()).fill_null("").combine_chunks().dictionary_encode()
    known = np.array(encoded.dictionary.to_pylist(), dtype=object)
    return np.asarray(known[encoded.indices.to_numpy(zero_copy_only=False)])
