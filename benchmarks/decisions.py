"""How often do the gate and a contest decide wrongly?

Run with `python -m benchmarks decisions`. Worlds are simulated, and judged as the stages and
`treeline compare` judge them. Four tables: champions beside their baseline at the gate; candidates
beside an incumbent, equal or worse by a known area under the ROC curve; the same, night after
night; a source that grows, split anew and by hashes. DECISIONS_WORLDS says how many worlds there
are of a kind, 200 if it does not; DECISIONS_TABLES which of the tables (`gate,contest,nights,
growth`).
"""

import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from tqdm import tqdm

from treeline.artifact import Prediction
from treeline.config.blocks import Split
from treeline.config.models import BASELINE, CHAMPION, Gate
from treeline.contract.features import Target
from treeline.evaluation.comparison import CANDIDATE, INCUMBENT, NonInferiority
from treeline.evaluation.gate import decide
from treeline.evaluation.intervals import evaluate
from treeline.preparation.splitting import hashes, split
from treeline.records.evaluation import Gated

METRIC = "roc_auc"
ROWS = (111, 456, 2000)
KINDS = {  # the noise in both scores, and how much of the rest of the truth the champion knows
    "equal": (0.5, 0.5, 0.0),
    "useless": (0.5, 0.0, 0.0),
    "a little better": (0.0, 0.0, 0.2),
    "better": (0.0, 0.0, 0.5),
}
WORDS = ("cannot be told", "does not beat", "beats")

NOISE = 0.5  # of the incumbent's score; a candidate has noise of its own
DROPS = {"equal": 0.0, "0.01 worse": 0.01, "0.03 worse": 0.03, "useless": 0.5}
OUTCOMES = ("better", "as good", "undecided", "worse")
CONTEST_ROWS = (*ROWS, 20_000)
MARGIN = 0.01
NIGHTS = 30

FEATURES, GROUPS, GROWTH = 6, 60, 1.1
BINARY = Target(name="t", task="binary", positive=1)


def main() -> int:
    """Print the tables that are asked for; return 0."""
    worlds = int(os.environ.get("DECISIONS_WORLDS", "200"))
    wanted = os.environ.get("DECISIONS_TABLES", ",".join(TABLES)).split(",")
    for name in wanted:
        TABLES[name](worlds)
        print(flush=True)
    return 0


def gate_table(worlds: int) -> None:
    """Print for each kind of champion and size: the lead, and how the gate decides."""
    _header("champion", "test rows", "mean lead", *WORDS)
    for kind, known in KINDS.items():
        for rows in ROWS:
            found = [judged(rows, known, seed=seed) for seed in _bar(worlds)]
            words = [word for _, word in found]
            _row(kind, f"{rows:,}", _mean([lead for lead, _ in found]), *_shares(words, WORDS))


def judged(rows: int, known: tuple[float, float, float], *, seed: int) -> tuple[float, str]:
    """Return the lead of a champion on so many rows, and the word of the gate."""
    noise, noise_of_baseline, more = known
    rng = np.random.default_rng([seed, rows])
    both, rest = rng.normal(size=rows) * 1.5, rng.normal(size=rows)
    truth = (rng.random(rows) < _chance(both + rest)).astype(np.int64)
    champion = both + noise * rng.normal(size=rows) + more * rest
    baseline = both + noise_of_baseline * rng.normal(size=rows)
    predictions = {CHAMPION: _prediction(champion), BASELINE: _prediction(baseline)}
    found = evaluate(truth, predictions, [METRIC])
    scored: Gated = {
        "champion": found[CHAMPION],
        "baseline": found[BASELINE],
        "advantage": found["advantage"],
        "rows": rows,
    }
    verdict = decide(scored, Gate(), metric=METRIC)
    word = next(word for word in WORDS if word in verdict.reasons[0])
    return found["advantage"][BASELINE][METRIC]["value"], word


def contest_table(worlds: int) -> None:
    """Print how candidates fare that are worse by a known drop, with a margin of 0.01."""
    _header("candidate", "test rows", "mean lead", *OUTCOMES, "rows that would do")
    for kind, drop in DROPS.items():
        noise = noise_of(drop)
        for rows in CONTEST_ROWS:
            some = worlds if rows < CONTEST_ROWS[-1] else max(20, worlds // 5)
            tests = [contested(rows, noise, seed=seed) for seed in _bar(some)]
            leads = [test.lead["value"] for test in tests]
            needed = f"{np.median([test.rows_needed for test in tests]):,.0f}"
            outcomes = _shares([test.outcome for test in tests], OUTCOMES)
            _row(kind, f"{rows:,}", _mean(leads), *outcomes, needed)


def contested(
    rows: int, noise: float, *, seed: int, look: int = 1, margin: float = MARGIN
) -> NonInferiority:
    """Return the test of a candidate with so much noise beside an incumbent with NOISE."""
    rng = np.random.default_rng([seed, rows, look])
    signal = rng.normal(size=rows) * 1.5
    truth = (rng.random(rows) < _chance(signal + rng.normal(size=rows))).astype(np.int64)
    scores = {
        CANDIDATE: _seen_through(signal, noise, rng),
        INCUMBENT: _seen_through(signal, NOISE, rng),
    }
    predictions = {name: _prediction(score) for name, score in scores.items()}
    found = evaluate(truth, predictions, [METRIC])
    return NonInferiority(METRIC, found["advantage"][INCUMBENT][METRIC], margin, rows, look)


def noise_of(drop: float) -> float:
    """Return the noise by which a score loses so much area, infinite for a useless one."""
    if drop >= 0.5:
        return np.inf
    rng = np.random.default_rng(7)
    signal, noise = rng.normal(size=1_000_000) * 1.5, rng.normal(size=1_000_000)
    truth = rng.random(1_000_000) < _chance(signal + rng.normal(size=1_000_000))

    def area(strength: float) -> float:
        ranks = np.empty(len(truth))
        ranks[np.argsort(signal + strength * noise)] = np.arange(1, len(truth) + 1)
        ones = truth.sum()
        ranked = ranks[truth].sum() - ones * (ones + 1) / 2
        return float(ranked / (ones * (len(truth) - ones)))

    wanted, low, high = area(NOISE) - drop, NOISE, 8.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if area(middle) > wanted else (low, middle)
    return low


def nights_table(worlds: int) -> None:
    """Print how often a model that is worse by the margin passes in some night of thirty."""
    rows, margin = 456, 0.03
    noise = noise_of(margin)
    _header("alpha", "passed in the first night", f"passed in some of {NIGHTS} nights")
    passed = {"the same each night": [], "spent look by look": []}  # type: dict[str, list[set[int]]]
    for seed in _bar(max(20, worlds // 4)):
        tests = [
            contested(rows, noise, seed=seed, look=night, margin=margin)
            for night in range(1, NIGHTS + 1)
        ]
        once = [NonInferiority(METRIC, test.lead, margin, rows) for test in tests]
        for word, looks in zip(passed, (once, tests), strict=True):
            good = {night for night, test in enumerate(looks) if test.outcome in OUTCOMES[:2]}
            passed[word].append(good)
    for word, worlds_of in passed.items():
        first = np.mean([0 in good for good in worlds_of])
        _row(word, f"{first:.1%}", f"{np.mean([bool(good) for good in worlds_of]):.1%}")


def growth_table(worlds: int) -> None:
    """Print how a retrained, equal model fares when the source grows by a tenth."""
    _header("rows", "split", "test rows", "of them learnt by the incumbent", "mean lead", *OUTCOMES)
    for group in (None, "group"):
        for rule in ("drawn", "stable"):
            found = [grown(rule, group, seed=seed) for seed in _bar(max(20, worlds // 2))]
            tests = [test for test, _ in found]
            _row(
                "alone" if group is None else f"in {GROUPS} groups",
                "drawn anew" if rule == "drawn" else "by hashes",
                f"{np.mean([test.rows for test in tests]):,.0f}",
                f"{np.mean([share for _, share in found]):.0%}",
                _mean([test.lead["value"] for test in tests]),
                *_shares([test.outcome for test in tests], OUTCOMES),
            )


def grown(rule: str, group: str | None, *, seed: int) -> tuple[NonInferiority, float]:
    """Return the contest of two forests, and the share of test rows that the incumbent knows."""
    frame = _source(seed)
    declared = Split(rule=rule, test=0.3, group=group)
    names = [group or "row"]

    def sides(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        hashed = hashes(rows, names, seed=seed)
        again = declared.model_copy(update={"seed": seed})
        return split(rows, hashed=hashed, split=again, target=BINARY)

    before, _ = sides(frame[: int(len(frame) / GROWTH)])
    train, test = sides(frame)
    predictions = {CANDIDATE: _forest(train, test), INCUMBENT: _forest(before, test)}
    truth = test["t"].to_numpy(dtype=np.int64)
    lead = evaluate(truth, predictions, [METRIC])["advantage"][INCUMBENT][METRIC]
    learnt = test[names[0]].isin(before[names[0]]).mean()
    return NonInferiority(METRIC, lead, MARGIN, len(test)), float(learnt)


def _source(seed: int) -> pd.DataFrame:
    """Return 1,650 rows: what is common to a group tells nothing of the next group."""
    rng = np.random.default_rng([seed, 99])
    rows = int(1500 * GROWTH)
    group = rng.integers(0, GROUPS, rows)
    features = rng.normal(size=(rows, FEATURES)) + rng.normal(size=(GROUPS, FEATURES))[group]
    luck = rng.normal(size=GROUPS)[group]
    truth = rng.random(rows) < _chance(features[:, 0] + luck)
    frame = pd.DataFrame(features, columns=[f"x{number}" for number in range(FEATURES)])
    return frame.assign(group=group, row=np.arange(rows), t=truth.astype(np.int64))


def _forest(train: pd.DataFrame, test: pd.DataFrame) -> Prediction:
    names = [f"x{number}" for number in range(FEATURES)]
    forest = RandomForestClassifier(n_estimators=60, min_samples_leaf=2, random_state=0)
    forest.fit(train[names], train["t"])
    scores = forest.predict_proba(test[names])
    return Prediction(labels=np.argmax(scores, axis=1), scores=scores)


def _seen_through(
    signal: NDArray[np.float64], noise: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    drawn = rng.normal(size=len(signal))
    seen: NDArray[np.float64] = drawn if np.isinf(noise) else signal + noise * drawn
    return seen


def _prediction(score: NDArray[np.float64]) -> Prediction:
    chance = _chance(score)
    return Prediction(
        labels=(chance > 0.5).astype(np.int64), scores=np.column_stack([1 - chance, chance])
    )


def _chance(score: NDArray[np.float64]) -> NDArray[np.float64]:
    chance: NDArray[np.float64] = 1 / (1 + np.exp(-score))
    return chance


def _bar(worlds: int) -> Iterator[int]:
    yield from tqdm(range(worlds), leave=False, disable=None)


def _mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.4f}"


def _shares(found: Sequence[str], words: Sequence[str]) -> list[str]:
    return [f"{np.mean([each == word for each in found]):.1%}" for word in words]


def _header(first: str, *others: str) -> None:
    _row(first, *others)
    print("| --- |" + " ---: |" * len(others), flush=True)


def _row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


TABLES: dict[str, Callable[[int], None]] = {
    "gate": gate_table,
    "contest": contest_table,
    "nights": nights_table,
    "growth": growth_table,
}

if __name__ == "__main__":
    main()
