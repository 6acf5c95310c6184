"""What names a row → a number between 0 and 1 that stays the same for ever, on any machine.

The number depends on the values alone: not on other rows, their order, their part, or the engine.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from treeline.config.models import ModelSpec
from treeline.preparation.selecting import filled

Hashes = NDArray[np.uint64]

RULE = "treeline split 1"  # another rule needs another name: whoever compares looks at it
EXACT = 2**53  # up to here 7 and 7.0 are one number, whatever the type of the column
_MISSING = np.uint64(0x6D697373696E6721)


def named_by(spec: ModelSpec) -> tuple[str, ...]:
    """Return the columns whose values decide the side of a row, in the order of the hash."""
    if spec.split.after is not None:
        return tuple(spec.split.after)
    if spec.split.group is not None:
        return (spec.split.group,)
    return spec.split.key or tuple(sorted(spec.features))


def row_hashes(checked: pd.DataFrame, spec: ModelSpec) -> Hashes:
    """Return the hash that decides the side of each checked row, uint64 of shape (n_rows,).

    Missing values count as their fill, so that the rows of both splits still have their hashes.
    """
    names = named_by(spec)
    features = {name: spec.features[name] for name in names if name in spec.features}
    return hashes(filled(checked[[*names]], features), names, seed=spec.split.seed)


def hashes(frame: pd.DataFrame, names: Sequence[str], *, seed: int) -> Hashes:
    """Return a 64-bit hash, uint64 of shape (n_rows,), of the values of some columns.

    Texts, numbers, booleans and missing values are admitted. A number has one hash in every type
    of column (7, 7.0), and 0 is -0. The order of the names counts, the names themselves do not.
    """
    state = np.full(len(frame), _of_text(f"{RULE} {seed}"), dtype=np.uint64)
    for name in names:
        state = _mixed(state ^ _mixed(_of_values(frame[name])))
    return state


def places(found: Hashes) -> NDArray[np.float64]:
    """Return the place of each hash in [0, 1), float64 of the same shape."""
    return (found >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _of_values(column: pd.Series) -> Hashes:
    kind = column.dtype.kind
    if kind in "biuf":
        return _of_numbers(column)
    codes, different = pd.factorize(column)
    table = [_of_text(str(value)) for value in different]
    return np.array([*table, _MISSING], dtype=np.uint64)[codes]


def _of_numbers(column: pd.Series) -> Hashes:
    missing = column.isna().to_numpy(dtype=np.bool_)
    numbers = column.to_numpy(dtype=np.float64, na_value=np.nan) + 0.0  # -0.0 becomes 0.0
    bits = numbers.view(np.uint64).copy()
    if column.dtype.kind in "iu":
        whole = column.to_numpy(dtype=np.int64, na_value=0)
        large = (whole > EXACT) | (whole < -EXACT)
        bits[large] = whole.view(np.uint64)[large]
    bits[missing] = _MISSING
    return bits


def _of_text(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _mixed(state: Hashes) -> Hashes:
    """Mix the bits of each number: the finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Hashes = state ^ (state >> np.uint64(31))
    return mixed
