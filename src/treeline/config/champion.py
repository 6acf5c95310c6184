"""What a declaration says of the winner: `models.<name>.champion`."""

from typing import Literal

from treeline.contract.features import Closed


class Champion(Closed):
    """The metric by which candidates are ranked, and what becomes of the one that wins.

    With `baseline: may_win` the baseline wins unless a candidate leads it on the folds by more than
    one standard error: what is simpler then ships. With `refit: all` the judged champion is fitted
    again, with its settings, on both splits.
    """

    metric: str
    baseline: Literal["stands_by", "may_win"] = "stands_by"
    refit: Literal["train", "all"] = "train"

    @property
    def baseline_may_win(self) -> bool:
        """Whether the baseline may be champion."""
        return self.baseline == "may_win"
