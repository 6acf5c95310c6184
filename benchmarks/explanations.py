"""What does an explanation cost beside the prediction, and how far is a sampled one off?

Run with `python -m benchmarks explanations`. Models learn from 20,000 random rows under the
contract of `tree-survival`, ten features of which four are categories. Each is read from its graph,
as a process beside a worker does once, and then explains records one by one. The exit code is 1
where an explanation that should be exact is not, or takes longer than API_EXPLAIN_SECONDS.
"""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

from api.inference.explanations.background import Background
from api.inference.explanations.exact import exact_of
from api.inference.explanations.explainer import Explainer, run
from api.settings import Settings
from benchmarks.batch_tables import random_codes
from treeline.artifact.onnx import OnnxRuntime
from treeline.contract.encoding import Matrix
from treeline.contract.signature import Signature
from treeline.export.conversion import converted, plain_bytes
from treeline.trainers.columns import NamedColumns, TypedColumns

LEARNT, ROWS = 20_000, 20
MODEL = Path(__file__).resolve().parents[1] / "model" / "tree-survival"
Models = dict[str, tuple[Any, bool]]


def models() -> Models:
    """Return estimators by name, and whether each is explained exactly."""
    logistic = LogisticRegression(max_iter=1000)
    return {
        "logistic regression": (logistic, True),
        "100 boosted trees of 31 leaves": (HistGradientBoostingClassifier(max_iter=100), True),
        "300 boosted trees of depth 6": (XGBClassifier(n_estimators=300, max_depth=6), True),
        "forest of 100, 50 rows a leaf": (RandomForestClassifier(100, min_samples_leaf=50), True),
        "forest of 100, 5 rows a leaf": (RandomForestClassifier(100, min_samples_leaf=5), False),
        "calibrated logistic regression": (CalibratedClassifierCV(logistic, cv=3), False),
        "neural network of 100": (MLPClassifier((100,), max_iter=30), False),
    }


def main() -> int:
    """Print a row for each model; return the exit code."""
    signature = Signature.read(MODEL / "signature.json")
    matrix = random_codes(signature)[:LEARNT]
    noise = np.random.default_rng(1).normal(0, 20, len(matrix))
    target = (matrix[:, 1] * 50 + matrix[:, 5] * (matrix[:, 0] + 1) / 2 + noise > 75).astype(int)
    print("| model | explained | once, ms | a prediction, ms | an explanation, ms | error |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    failed = False
    for name, (estimator, exactly) in models().items():
        failed |= not measured(
            name, pipeline(estimator, signature, matrix, target), signature, exactly
        )
    return int(failed)


def pipeline(estimator: Any, signature: Signature, matrix: Matrix, target: Any) -> bytes:
    """Return the graph of an estimator that has learnt."""
    kinds = {name: len(each.categories) for name, each in signature.features.items()}
    columns = TypedColumns(
        {name: count for name, count in kinds.items() if count}, [StandardScaler()], onehot=True
    )
    steps = [("names", NamedColumns(list(kinds))), ("columns", columns), ("estimator", estimator)]
    return plain_bytes(
        converted(Pipeline(steps).fit(pd.DataFrame(matrix, columns=list(kinds)), target))
    )


def measured(name: str, payload: bytes, signature: Signature, exactly: bool) -> bool:
    """Print what one model costs; tell whether it is as it should be."""
    predict = OnnxRuntime.load({"model.onnx": payload}).predict
    background = Background.of(signature)
    rows = background.drawn(ROWS, np.random.default_rng(3))
    started = time.perf_counter()
    exact = exact_of(payload, signature, background, predict)
    once = time.perf_counter() - started
    explainer = Explainer(signature, background=background, exact=exact)
    started = time.perf_counter()
    for row in rows:
        predict(row[None].repeat(2, 0))
    plain = (time.perf_counter() - started) / ROWS
    started = time.perf_counter()
    made = [run(explainer.of(row[None]), predict) for row in rows]
    each = (time.perf_counter() - started) / ROWS
    errors = [np.abs(one.errors).max() for one in made if one.errors is not None]
    error = f"{np.mean(errors):.4f}" if errors else "none"
    print(
        f"| {name} | {made[0].method}, {made[0].scale} | {1e3 * once:,.0f} | {1e3 * plain:.3f} "
        f"| {1e3 * each:,.1f} | {error} |"
    )
    return (exact is not None) == exactly and once + each < Settings().explain_seconds


if __name__ == "__main__":
    sys.exit(main())
