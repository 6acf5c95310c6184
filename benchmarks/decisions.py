"""How often does the gate let a champion pass that is no better than its baseline?

Run with `python -m benchmarks decisions`. Worlds are simulated: a baseline that knows one thing of
a binary target, and champions that know nothing more, or a little more. Each is judged as the
evaluate and gate stages judge it, by the area under the ROC curve. DECISIONS_WORLDS says how many
worlds there are of a kind, 200 if it does not.
"""

import os

import numpy as np
from tqdm import tqdm

from treeline.artifact.prediction import Prediction
from treeline.config.models import BASELINE, CHAMPION, Gate
from treeline.evaluation import evaluate
from treeline.gate import decide

METRIC = "roc_auc"
ROWS = (111, 456, 2000)
KINDS = {  # the noise in both scores, and how much of the rest of the truth the champion knows
    "equal": (0.5, 0.5, 0.0),
    "useless": (0.5, 0.0, 0.0),
    "a little better": (0.0, 0.0, 0.2),
    "better": (0.0, 0.0, 0.5),
}
WORDS = ("cannot be told", "does not beat", "beats")


def main() -> int:
    """Print a row for each kind and size: the lead, and how the gate decides; return 0."""
    worlds = int(os.environ.get("DECISIONS_WORLDS", "200"))
    print(f"| champion | test rows | mean lead | {' | '.join(WORDS)} |")
    print("| --- | ---: | ---: |" + " ---: |" * len(WORDS), flush=True)
    for kind, known in KINDS.items():
        for rows in ROWS:
            leads, counts = [], dict.fromkeys(WORDS, 0)
            for seed in tqdm(range(worlds), leave=False, disable=None):
                lead, word = judged(rows, known, seed=seed)
                leads.append(lead)
                counts[word] += 1
            cells = " | ".join(f"{count / worlds:.1%}" for count in counts.values())
            print(f"| {kind} | {rows:,} | {np.mean(leads):.4f} | {cells} |", flush=True)
    return 0


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
    verdict = decide({**found, "rows": rows}, Gate(), metric=METRIC)
    word = next(word for word in WORDS if word in verdict.reasons[0])
    return found["advantage"][BASELINE][METRIC]["value"], word


def _prediction(score: np.ndarray) -> Prediction:
    chance = _chance(score)
    return Prediction(
        labels=(chance > 0.5).astype(np.int64), scores=np.column_stack([1 - chance, chance])
    )


def _chance(score: np.ndarray) -> np.ndarray:
    chance: np.ndarray = 1 / (1 + np.exp(-score))
    return chance


if __name__ == "__main__":
    main()
