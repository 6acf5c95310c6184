"""Counts of the features of a window, and their reference → one column of the record each. Pure."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from treeline.contract.counts import Array, Bins, Counts, stability, values_of
from treeline.contract.features import Feature
from treeline.contract.signature import Distribution
from treeline.monitoring.record import Column, Tested
from treeline.monitoring.structure import Finding, broken
from treeline.monitoring.two_samples import beyond, distance, missing, shift, unseen


@dataclass(frozen=True)
class Examined:
    """A column of the record, and what is broken with it."""

    column: Column
    broken: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Reference:
    """How one feature was spread over the `rows` that a model learnt from."""

    name: str
    feature: Feature
    spread: Distribution
    rows: float


def examined(known_of: Reference, counts: Counts, *, effect: float) -> Examined:
    """Set the counts of one feature beside its reference."""
    feature, reference, rows = known_of.feature, known_of.spread, known_of.rows
    bins = Bins.of(feature, reference)
    faults = tuple(broken(counts, bins, reference, rows=rows))
    known = rows * (1 - reference.missing)
    before = known * np.asarray(reference.shares)
    column = Column(
        name=known_of.name,
        rows=counts.rows,
        bins=_labels(bins),
        before=tuple(round(float(each), 2) for each in before),
        now=tuple(int(each) for each in counts.shares) if len(before) else (),
        missing_before=reference.missing,
        missing=counts.missing,
        beyond=counts.beyond,
        unlike=counts.unlike,
    )
    required = not feature.optional
    if counts.missing == counts.rows and required:
        # A service refuses a record without it, so that it was redacted, not left out.
        text = "is redacted in the log, and cannot be watched"
        return Examined(column.model_copy(update={"note": text}))
    tests: list[Tested] = []
    if feature.fill is None and feature.optional and counts.rows:
        tests.append(missing((reference.missing * rows, rows), (counts.missing, counts.rows)))
    if counts.known and len(before):
        tests += _of_values(feature, before, counts, bins, effect=effect)
        column = column.model_copy(
            update={
                "psi": round(stability(before, counts.shares), 6),
                "distance": _rounded(distance(before, counts.shares)),
                "moved": _rounded(_moved(counts, reference)),
            }
        )
    return Examined(column.model_copy(update={"tests": tuple(tests)}), faults)


def _of_values(
    feature: Feature, before: Array, counts: Counts, bins: Bins, *, effect: float
) -> list[Tested]:
    tests = [shift(before, counts.shares, effect=effect)]
    rows = float(before.sum())
    if bins.values:
        for place, value in enumerate(values_of(feature)):
            if not before[place] and counts.shares[place]:
                tests.append(unseen(value, int(counts.shares[place]), counts.known, rows=rows))
    elif np.isfinite(bins.low):
        tests.append(beyond(counts.beyond, counts.known, rows=rows))
    return tests


def _moved(counts: Counts, reference: Distribution) -> float | None:
    if reference.mean is None or not reference.deviation:
        return None
    return (counts.mean - reference.mean) / reference.deviation


def _labels(bins: Bins) -> tuple[str, ...]:
    """Return the bins as texts: values, or the ranges between edges."""
    if bins.values or not bins.edges:
        return bins.values or ("all",)
    edges = [f"{edge:.4g}" for edge in bins.edges]
    between = [f"{low} to {high}" for low, high in pairwise(edges)]
    return (f"below {edges[0]}", *between, f"from {edges[-1]}")


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
