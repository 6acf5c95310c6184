"""The published seedlings, and the three ways in which benchmarks hold some of them out."""

import os
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

PROJECT = Path(__file__).resolve().parents[1]
BESIDE_THE_PROJECT = PROJECT.parent / "shared" / "datasets" / "Tree_Data.csv"

Scheme = Literal["in file order", "shuffled", "by plot"]
Fold = tuple[NDArray[np.intp], NDArray[np.intp]]


def published() -> pd.DataFrame:
    """Return the deposit's rows in file order, but the one without Event.

    Ends the process with 2 where the deposit's CSV is absent.
    """
    path = Path(os.environ.get("TREE_DATA", BESIDE_THE_PROJECT))
    if not path.is_file():
        print(f"{path}: absent; set TREE_DATA to the deposit's Tree_Data.csv", file=sys.stderr)
        sys.exit(2)
    return pd.read_csv(path).dropna(subset=["Event"]).reset_index(drop=True)


def folds(rows: pd.DataFrame, scheme: Scheme, *, seed: int) -> list[Fold]:
    """Return pairs of training and held-out row positions: ten folds, or nine of whole plots."""
    if scheme == "by plot":
        by_plot = StratifiedGroupKFold(9, shuffle=True, random_state=seed)
        return list(by_plot.split(rows, rows["Event"], rows["Plot"]))
    shuffled = scheme == "shuffled"
    ten = StratifiedKFold(10, shuffle=shuffled, random_state=seed if shuffled else None)
    return list(ten.split(rows, rows["Event"]))
