"""A model of an earlier commit → which test rows here it has learnt from, and how that is known.

What it learnt from is an output of DVC: the training rows of its commit. Where both commits split
by the same hash none of them is among the test rows here, and nothing has to be fetched.
"""

import json
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype
from pyarrow import parquet

from treeline.config import PARAMS, Layout, declared_model
from treeline.config.models import ModelSpec
from treeline.contract.signature import Signature
from treeline.delivery import repository
from treeline.delivery.processes import attempt
from treeline.errors import ConfigError, DataError
from treeline.files import digest
from treeline.preparation import splitting
from treeline.preparation.splitting import HASH_RULE, hashes, named_by, places

BY_ROWS = 1_000_000  # of the training rows, which are hashed a part at a time


@dataclass(frozen=True)
class SeenRows:
    """Which rows a model learnt from, bool of shape (n_rows,), and how that is known, in words."""

    rows: NDArray[np.bool_]
    words: str


def learnt(
    test: pd.DataFrame, spec: ModelSpec, paths: Layout, *, base: str, incumbent: Signature
) -> SeenRows:
    """Tell which test rows the model of the commit `base` has learnt from.

    A row is the same by its group, by its declared key, or by the values of the features that
    both commits have: whoever learnt from one of a group has learnt of all. A model that was fitted
    again on all rows (`refit: all`) has learnt from the test rows of its commit too.
    """
    none = np.zeros(len(test), dtype=np.bool_)
    before = _split(repository.shown(base, paths.summary))
    now = _split(paths.summary.read_text(encoding="utf-8") if paths.summary.exists() else None)
    all_rows = incumbent.learnt is not None and incumbent.learnt.refit == "all"
    names_before = before.get("names", [])
    same_types = _types(spec, names_before) == _types_of(base, paths, names_before)
    apart = _keeps_apart(before, now) and same_types and _same_fills(spec, incumbent)
    if not all_rows and apart:
        return SeenRows(none, "both models keep the same rows for the test")
    with tempfile.TemporaryDirectory() as folder:
        splits = [paths.train, *([paths.test] if all_rows else [])]
        rows = [_rows(path, incumbent, base=base, folder=Path(folder)) for path in splits]
        there = [each for each in rows if each is not None]
        if len(there) == len(splits) and (names := _names(spec, there[0], incumbent)):
            known = np.concatenate([_hashes_of(each, names, like=test) for each in there])
            seen = np.isin(_recognised(test, names, like=there[0]), known)
            return SeenRows(seen, _counted(seen, names))
    if (
        not all_rows
        and before.get("rule") == splitting.AFTER_RULE
        and set(before["names"]) <= set(test)
    ):
        with suppress(DataError):  # of a row that now need not have a moment
            seen = ~splitting.later(test, before["after"])
            return SeenRows(seen, _counted(seen, before["names"]))
    known_names = same_types and set(names_before) <= set(test)
    if not all_rows and before.get("rule") == HASH_RULE and known_names:
        place = places(hashes(test, before["names"], seed=before["seed"]))
        seen = place >= before["test"]
        return SeenRows(seen, _counted(seen, before["names"]))
    return SeenRows(
        none,
        f"what the incumbent learnt from is not known: the rows of {base} are to be had "
        "nowhere; where test rows are among them, its figures are too good",
    )


def _counted(seen: NDArray[np.bool_], names: list[str]) -> str:
    by = ", ".join(names) if len(names) <= 3 else "the values of their features"
    count = int(seen.sum())
    if not count:
        return f"the incumbent learnt from none of the {len(seen):,} test rows, by {by}"
    return f"{count:,} of {len(seen):,} rows left out: the incumbent learnt from them, by {by}"


def _split(summary: str | None) -> dict[str, Any]:
    """Return how a summary says that rows were split; nothing of one that does not say."""
    split: dict[str, Any] = json.loads(summary or "{}").get("split", {})
    return split


def _keeps_apart(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Tell whether test rows of now were test rows before, or would have been."""
    if before.get("rule") == now.get("rule") == splitting.AFTER_RULE:
        return before["names"] == now["names"] and not _is_later(before["after"], now["after"])
    alike = all(before.get(each) == now.get(each) for each in ("rule", "by", "names", "seed"))
    return before.get("rule") == HASH_RULE and alike and bool(now["test"] <= before["test"])


def _is_later(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Tell whether the moment of before is after that of now, or cannot be set beside it."""
    ((one, other),) = zip(before.values(), now.values(), strict=True)
    if isinstance(one, str) is not isinstance(other, str):
        return True
    return bool(splitting.later(pd.DataFrame(before, index=[0]), now)[0])


def _types(spec: ModelSpec, names: Sequence[str]) -> list[str | None]:
    """Return the declared types of columns: the number 7 has another hash than the text."""
    features, carried = spec.features, spec.source.columns
    return [features[each].type if each in features else carried.get(each) for each in names]


def _types_of(base: str, paths: Layout, names: Sequence[str]) -> list[str | None] | None:
    """Return those of an earlier commit; None where its declaration is none that is known here."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / PARAMS.name
        path.write_text(repository.shown(base, PARAMS) or "", encoding="utf-8")
        try:
            return _types(declared_model(paths.name, path)[0], names)
        except ConfigError:
            return None


def _same_fills(spec: ModelSpec, incumbent: Signature) -> bool:
    """Tell whether the columns that name a row have the fills that they had."""
    named = [name for name in named_by(spec) if name in spec.features]
    fills = incumbent.features
    return all(name in fills and spec.features[name].fill == fills[name].fill for name in named)


def _rows(
    path: Path, incumbent: Signature, *, base: str, folder: Path
) -> parquet.ParquetFile | None:
    """Fetch a split of a commit, from DVC's cache or remote; None where there is none.

    It is the one that the signature names by its digest, or none.
    """
    target = folder / path.name
    attempt("dvc", "get", "--quiet", ".", str(path), "--rev", base, "--out", str(target))
    wanted = incumbent.lineage.data.get(path.name)
    if not target.is_file() or digest(target) != wanted:
        return None
    return parquet.ParquetFile(target)


def _names(spec: ModelSpec, rows: parquet.ParquetFile, incumbent: Signature) -> list[str]:
    """Return the columns by which rows of both commits are known again."""
    there = set(rows.schema_arrow.names)
    declared = [spec.split.group] if spec.split.group is not None else list(spec.split.key)
    if declared and there.issuperset(declared):
        return declared
    return sorted(name for name in spec.features if name in there and name in incumbent.features)


def _hashes_of(
    rows: parquet.ParquetFile, names: list[str], *, like: pd.DataFrame
) -> NDArray[np.uint64]:
    other = rows.schema_arrow.empty_table().to_pandas()
    changed = _changed_types(other, like, names)
    parts = [
        np.unique(hashes(_as_texts(batch.to_pandas(), changed), names, seed=0))
        for batch in rows.iter_batches(BY_ROWS, columns=names)
    ]
    return np.concatenate([np.empty(0, dtype=np.uint64), *parts])


def _recognised(
    test: pd.DataFrame, names: list[str], *, like: parquet.ParquetFile
) -> NDArray[np.uint64]:
    changed = _changed_types(test, like.schema_arrow.empty_table().to_pandas(), names)
    return hashes(_as_texts(test[names], changed), names, seed=0)


def _changed_types(one: pd.DataFrame, other: pd.DataFrame, names: list[str]) -> list[str]:
    """Return the columns that are numbers in one frame and texts in the other."""
    return [name for name in names if is_numeric_dtype(one[name]) != is_numeric_dtype(other[name])]


def _as_texts(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Return the frame with some columns as texts, a whole number as its digits: 7 for 7.0."""
    return frame.assign(**{name: frame[name].map(_text, na_action="ignore") for name in names})


def _text(value: object) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value)  # type: ignore[call-overload]
