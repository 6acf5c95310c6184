"""Any model → Shapley values by sampled orders of its features, with their standard errors. Pure.

For each of some orders one row is drawn from the background, and becomes the row in question,
feature by feature: what the answer changes by at each step is what that feature adds. Each order is
gone from both ends, which takes away most of what the order does, and the mean of both is one draw
of what is estimated: Štrumbelj and Kononenko, *Explaining prediction models and individual
predictions with feature contributions* (2014); Mitchell et al., *Sampling permutations for Shapley
value estimation* (2022).
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from api.inference.explanations.background import Background
from treeline.contract.encoding import Matrix

Floats = NDArray[np.float64]
SEED = 17
EVALUATIONS = 1 << 13  # of a model, for one row
MOST_ORDERS = 512
FEWEST_ORDERS = 8
CELLS = 1 << 20  # of what a model is given at once, or up to twice as many


@dataclass(frozen=True)
class Estimate:
    """What each feature adds, shape (n_features,), and the standard error of that; and the base."""

    base: float
    base_error: float
    added: Floats
    errors: Floats


def estimate(row: Matrix, background: Background) -> Generator[Matrix, Floats, Estimate]:
    """Yield rows of shape (n, n_features), take their answers of shape (n,), return an estimate.

    `row` is float32 of shape (1, n_features). The draws are the same for each row, so that the base
    is too.
    """
    count = row.shape[1]
    orders = max(FEWEST_ORDERS, min(MOST_ORDERS, EVALUATIONS // (2 * count)))
    chance = np.random.default_rng(SEED)
    starts = background.drawn(orders, chance)
    ranks = np.stack([chance.permutation(count) for _ in range(orders)])
    (whole,) = yield row
    answers = []
    for rows in questions(row, starts, ranks):
        answers.append((yield rows))
    each = np.concatenate(answers).reshape(orders, 2 * count - 1)
    bases, added = each[:, 0], steps(each, float(whole), ranks)
    root = np.sqrt(orders)
    return Estimate(
        base=float(bases.mean()),
        base_error=float(bases.std(ddof=1) / root),
        added=added.mean(axis=0),
        errors=added.std(axis=0, ddof=1) / root,
    )


def questions(row: Matrix, starts: Matrix, ranks: NDArray[np.int64]) -> Iterator[Matrix]:
    """Yield the rows on the way from each start to the row in question, some at a time.

    `ranks` of shape (n_orders, n_features) is which features come first. From the start on one
    more feature is known in each row, first those of the least rank, then those of the greatest:
    2 · n_features - 1 rows for each order.
    """
    count = row.shape[1]
    forth, back = np.arange(count), np.arange(1, count)
    least = np.concatenate([np.zeros(count, np.int64), count - back])[:, None]
    most = np.concatenate([forth, np.full(count - 1, count)])[:, None]
    size = max(1, CELLS // count)
    waiting: list[Matrix] = []
    for start, rank in zip(starts, ranks, strict=True):
        for begin in range(0, len(least), size):
            part = slice(begin, begin + size)
            known = (rank >= least[part]) & (rank < most[part])
            waiting.append(np.where(known, row, start))
            if sum(map(len, waiting)) >= size:
                yield np.concatenate(waiting)
                waiting = []
    if waiting:
        yield np.concatenate(waiting)


def steps(answers: Floats, whole: float, ranks: NDArray[np.int64]) -> Floats:
    """Return what each feature adds, the mean of both ways, shape (n_orders, n_features).

    `answers` of shape (n_orders, 2 · n_features - 1) are those to `questions`, `whole` that to the
    row in question.
    """
    count = ranks.shape[1]
    end = np.full((len(answers), 1), whole)
    forth = np.diff(np.concatenate([answers[:, :count], end], axis=1))
    back = np.diff(np.concatenate([answers[:, :1], answers[:, count:], end], axis=1))
    return np.take_along_axis((forth + back[:, ::-1]) / 2, ranks, axis=1)
