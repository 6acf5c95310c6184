"""A frame of pandas ↔ records and answers, for the client."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class FrameRows:
    """Rows that are a frame; answers have its index."""

    given: pd.DataFrame

    def __len__(self) -> int:
        return len(self.given)

    def records(self, start: int, end: int) -> list[dict[str, Any]]:
        """Return some of them as records of plain values, missing ones as None."""
        part = self.given.iloc[start:end]
        known = part.astype("object").where(part.notna(), None)
        records: list[dict[str, Any]] = known.to_dict("records")  # type: ignore[assignment]
        return records

    def label(self, row: int) -> str:
        """Return the row by its label in the index."""
        return f"row {self.given.index[row]}"

    def answered(self, answers: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
        """Return a frame of all answers."""
        return pd.DataFrame(list(answers), index=self.given.index)
