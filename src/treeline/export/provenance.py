"""What a signature says of the origin of a model: digests, and the spread of each feature."""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pandas as pd

from treeline.config import Layout
from treeline.config.models import ModelSpec
from treeline.contract.features import Feature
from treeline.contract.signature import Distribution, Lineage
from treeline.files import digest
from treeline.records.training import Training

WATCHING = {"monitor"}  # what is watched in service makes no other model
LIBRARIES = ("numpy", "onnx", "onnxruntime", "pandas", "scikit-learn", "skl2onnx", "xgboost-cpu")


def lineage(paths: Layout, spec: ModelSpec, *, training: Training) -> Lineage:
    """Return the lineage of the champion in `training`, the record of the train stage."""
    champion = training["candidates"][training["champion"]]
    return Lineage(
        data={path.name: digest(path) for path in (paths.train, paths.test)},
        params=params_digest(spec),
        code=code_digest(paths),
        libraries=_versions(),
        champion=training["champion"],
        estimator=champion["estimator"],
        hyperparameters=champion["hyperparameters"],
    )


def params_digest(spec: ModelSpec) -> str:
    """Return the SHA-256 over what is declared of a model, without what is watched in service."""
    return _digest_of(spec.model_dump(mode="json", by_alias=True, exclude=WATCHING))


def code_digest(paths: Layout) -> str:
    """Return the SHA-256 over the code that made a model, as the stage digest has written it."""
    inputs = json.loads((paths.inputs / "export.json").read_text(encoding="utf-8"))
    return _digest_of(inputs["code"])


def _versions() -> dict[str, str]:
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue  # an estimator of another library does not need it
    return versions


def _digest_of(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


BINS = 10  # deciles of the training rows: the usual bins of a population stability index
DIGITS = 6  # processors differ in the last digits of a sum
EDGE_DIGITS = 12  # an edge parts values that lie close together, such as years or prices
ROUNDED_OFF = 10.0 ** (1 - EDGE_DIGITS)  # of an edge, at most


def reference(frame: pd.DataFrame, features: Mapping[str, Feature]) -> dict[str, Distribution]:
    """Return the distribution of each feature over the rows of a prepared frame."""
    return {name: _distribution(frame[name], feature) for name, feature in features.items()}


def _distribution(column: pd.Series, feature: Feature) -> Distribution:
    known = column.dropna()
    missing = _rounded(1 - len(known) / len(column))
    if feature.kind.holds != "number":
        values: tuple[Any, ...] = feature.categories or (False, True)
        counts = [int((known == value).sum()) for value in values]
        return Distribution(missing=missing, shares=_shares(counts))
    numbers = known.to_numpy(dtype=np.float64)
    if not len(numbers):
        return Distribution(missing=missing, shares=())
    quantiles = np.quantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1])
    edges = sorted({_rounded(edge, EDGE_DIGITS) for edge in quantiles})
    # A bin holds its lower edge, also a value that has more digits than were kept of the edge.
    limits = np.array(edges) - ROUNDED_OFF * np.abs(edges)
    bins = np.searchsorted(limits, numbers, side="right")
    return Distribution(
        missing=missing,
        shares=_shares(np.bincount(bins, minlength=len(edges) + 1).tolist()),
        edges=tuple(edges),
        mean=_rounded(numbers.mean()),
        deviation=_rounded(numbers.std()),
        minimum=_rounded(numbers.min()),
        maximum=_rounded(numbers.max()),
    )


def _shares(counts: list[int]) -> tuple[float, ...]:
    total = max(sum(counts), 1)
    return tuple(_rounded(count / total) for count in counts)


def _rounded(value: float, digits: int = DIGITS) -> float:
    return float(f"{float(value):.{digits}g}")
