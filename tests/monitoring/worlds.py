"""A small world of seedlings whose model is known: rows without drift, and with what is wanted."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import expit

from api.prediction_log.database import Database, url_of
from tests.drafts import draft
from treeline.artifact import Prediction
from treeline.config.models import ModelSpec
from treeline.contract.features import Feature
from treeline.contract.signature import Example, Learnt, Parity, Signature
from treeline.evaluation.answers import answers
from treeline.evaluation.intervals import evaluate
from treeline.evaluation.units import Units
from treeline.export.provenance import reference
from treeline.monitoring.record import Record
from treeline.monitoring.rows import Rows
from treeline.monitoring.verdicts import Beside, Watched, judged
from treeline.monitoring.windows import window_of

Array = NDArray[Any]
Columns = dict[str, Any]
Change = Callable[[Columns, np.random.Generator], Columns]

DAY = 86_400.0
NIGHT = 20_000 * DAY
NAME, VERSION = "fates", "0123456789ab"
SPECIES = ("Acer", "Prunus", "Quercus", "Tilia")
FEATURES: dict[str, Feature] = {
    "Light": Feature(type="number", minimum=0),
    "Height": Feature(type="number", nullable=True),
    **{f"Trait{number}": Feature(type="number") for number in range(5)},
    "Leaves": Feature(type="integer", minimum=0),
    "Species": Feature(type="category", categories=SPECIES),
    "Fenced": Feature(type="boolean", nullable=True),
}
METRICS = ["accuracy", "f1", "roc_auc", "average_precision", "ks", "log_loss", "brier"]


def nothing(columns: Columns, _: np.random.Generator) -> Columns:
    return columns


def drawn(rng: np.random.Generator, rows: int, change: Change = nothing) -> Columns:
    """Return columns of independent rows; numbers are float64 with NaN, texts are objects."""
    columns: Columns = {
        "Light": rng.gamma(4, 0.05, rows),
        "Height": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(30, 8, rows)),
        **{f"Trait{number}": rng.normal(number, 1 + number, rows) for number in range(5)},
        "Leaves": rng.poisson(4, rows).astype(np.float64),
        "Species": rng.choice(SPECIES[:3], rows, p=[0.5, 0.3, 0.2]).astype(object),
        "Fenced": np.where(rng.random(rows) < 0.3, "true", "false").astype(object),
    }
    return change(columns, rng)


def chance(columns: Columns) -> Array:
    """Return the probability of death that the model gives, which is right where nothing turns."""
    acer = (columns["Species"] == "Acer") * 1.5
    return np.asarray(expit(acer + 0.6 * columns["Trait0"] - 4 * columns["Light"]))


def answered(columns: Columns) -> Prediction:
    positive = chance(columns)
    scores = np.column_stack([1 - positive, positive])
    return Prediction(labels=(positive > 0.5).astype(np.int64), scores=scores)


def proved(columns: Columns, rng: np.random.Generator, turned: float = 0.0) -> Array:
    """Return what came true; of a share `turned` of the rows the contrary of what it would."""
    truth = rng.random(len(columns["Light"])) < chance(columns)
    return np.asarray((truth ^ (rng.random(len(truth)) < turned)).astype(np.int64))


def watched(
    declaration: Mapping[str, Any], rows: int = 1500, seed: int = 0, **monitor: Any
) -> Watched:
    """Return a model that learnt from so many rows, and was judged on half as many."""
    rng = np.random.default_rng(seed)
    train, test = drawn(rng, rows), drawn(rng, rows // 2)
    truth = proved(test, rng)
    signature = Signature(
        **draft("binary", FEATURES, ("0", "1")) | {
            "name": NAME, "version": VERSION, "probabilities": True, "runtime": "onnx",
            "example": Example(record={}, scores=(0.5, 0.5)),
            "parity": Parity(rows=1, largest_difference=0, tolerance=1e-5),
            "learnt": Learnt(rows=rows),
            "reference": reference(frame(train), FEATURES),
        }
    )  # fmt: skip
    judged_by = evaluate(truth, {"champion": answered(test)}, METRICS, units=Units.rows(len(truth)))
    evaluation = judged_by | {"rows": len(truth), "answers": answers(truth, answered(test), 2)}
    block = dict(declaration) | {"monitor": monitor}
    return Watched(ModelSpec.model_validate(block), signature, evaluation)


def frame(columns: Columns) -> pd.DataFrame:
    """Return rows as preparation leaves them."""
    table = pd.DataFrame(columns)
    return table.assign(Fenced=table["Fenced"].map({"true": True, "false": False}))


def rows_of(
    columns: Columns, *, times: Array | None = None, truth: Array | None = None,
    truth_times: Array | None = None,
) -> Rows:  # fmt: skip
    """Return logged rows of the last week, evenly spread; truths were told at the end of it."""
    count = len(columns["Light"])
    table = {
        name: pa.array(columns[name], pa.string() if holds(name) != "number" else pa.float64(),
                       from_pandas=True)
        for name in FEATURES
    }  # fmt: skip
    at = NIGHT - 7 * DAY * (1 - np.arange(count) / count) if times is None else times
    known = np.full(count, -1) if truth is None else truth
    when = np.full(count, NIGHT - 1) if truth_times is None else truth_times
    return Rows(at, pa.table(table), answered(columns), known, np.where(known >= 0, when, np.nan))


def holds(name: str) -> str:
    return FEATURES[name].kind.holds


def look(
    model: Watched, *rows: Rows, days: float = 0, until: float = NIGHT, **beside: Any
) -> Record:
    """Return what a look says at the end of the week, `days` after the first prediction."""
    query = model.query(None, until)
    window = window_of(rows, model.signature, query, slices=model.slices)
    return judged(model, query, window, Beside(first=until - days * DAY, **beside))


def log_in(folder: Path) -> tuple[Database, str]:
    """Return the log that a service would make in a file, and its URL."""
    url = f"sqlite:///{folder}/log.sqlite"
    database = Database(url_of(url, Path()))
    database.prepare()
    return database, url


def logged(columns: Columns, times: Array, *, version: str = VERSION) -> list[dict[str, Any]]:
    """Return the rows of the log's table."""
    positive = chance(columns)
    rows = []
    for place, time in enumerate(times):
        features = {name: value(name, columns[name][place]) for name in FEATURES}
        rows.append(
            {
                "id": f"{version}-{time}-{place}", "time": float(time), "model": NAME,
                "version": version, "features": json.dumps(features),
                "prediction": json.dumps("1" if positive[place] > 0.5 else "0"),
                "probability": float(positive[place]), "probabilities": None,
                "latency_seconds": 0.001, "key": None,
            }
        )  # fmt: skip
    return rows


def value(name: str, cell: Any) -> Any:
    if holds(name) == "boolean":
        return {"true": True, "false": False}.get(cell, cell)
    return None if pd.isna(cell) else cell
