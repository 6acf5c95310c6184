"""A champion that was judged → the one that is exported: fitted again on all rows, if declared."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from sklearn.base import clone

from treeline.config.models import ModelSpec
from treeline.contract.signature import Learnt
from treeline.preparation.encoding import encoded, encoded_target


def learnt_from(spec: ModelSpec, rows: Mapping[str, int]) -> Learnt:
    """Return what the exported model learns from; `rows` counts those of each split."""
    refit = spec.champion.refit
    return Learnt(rows=rows["train"] + (rows["test"] if refit == "all" else 0), refit=refit)


def refitted(
    champion: Any, splits: Sequence[pd.DataFrame], spec: ModelSpec, classes: list[Any] | None
) -> Any:
    """Return a champion fitted again, with its settings, on the prepared rows of all splits."""
    rows = pd.concat(splits, ignore_index=True)
    frame = encoded(rows, spec.features)
    return clone(champion).fit(frame, encoded_target(rows[spec.target.name], classes))
