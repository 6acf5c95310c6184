"""H2O trainer: AutoML tries estimators of H2O within a budget → the best, fitted.

A JVM is started for each candidate and ends with it. AutoML cross-validates every model on the
declared folds and keeps what it predicted for the rows left out: each is judged by that, with the
same metrics as any other candidate. The best was fitted on the whole training split besides.

A stacked ensemble learns from the predictions for rows left out, and what is kept of it was
predicted by a second cross-validation over those, again on the same folds (Wolpert 1992). Other
folds' models have seen the rows of a fold there, so its figures are a trifle optimistic.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from treeline.artifact import Prediction
from treeline.artifact.h2o import (
    JAR,
    ROW,
    VERSION,
    Description,
    H2OEstimator,
    columns,
    csv,
    kinds,
    level,
    prediction,
)
from treeline.artifact.pickled import predict
from treeline.config.blocks import AutoML
from treeline.config.metrics import metrics_of
from treeline.config.models import Candidate, Search
from treeline.engines.h2o_server import Answer, H2OServer
from treeline.errors import EngineError, TrainingError
from treeline.evaluation.metrics import score
from treeline.trainers import Fitted, TrainingSet, Trial
from treeline.trainers.searching import merit

ROWS, TARGET, FOLD, PROJECT = "training", "target", "fold", "treeline"
SORTED_BY = {"log_loss": "logloss", "mae": "MAE", "rmse": "RMSE", "roc_auc": "AUC"}
STAMP = re.compile(r"_AutoML_\d+_\d{8}_\d+")
LOOK_SECONDS = 0.5
OF_NO_INTEREST = ("seed", "fold", "keep_", "max_runtime", "auto_rebalance", "score_tree", "export")


class H2OTrainer:
    """Lets AutoML of H2O choose, and takes the best it found by the declared metric."""

    def fit(
        self,
        training: TrainingSet,
        *,
        candidate: Candidate,
        search: Search,
        metric: str,
        place: str,
    ) -> Fitted:
        """Run AutoML and judge its models; raises TrainingError naming `place`, EngineError."""
        started = time.perf_counter()
        options = _options(candidate, place)
        with _started(options, search, place) as server:
            _put_training(server, training)
            keys = _fitted(server, _request(options, search, metric), place)
            judged = [(key, _trial(server, key, training)) for key in sorted(keys)]
            key, best = max(judged, key=lambda pair: merit(pair[1], metric, place))
            body = server.exchange("GET", f"/3/Models.fetch.bin/{quote(key)}")
        described = Description(
            h2o=VERSION,
            key=key,
            kinds=tuple(kinds(training.features)),
            classes=_classes(training),
        )
        return Fitted(
            estimator=H2OEstimator(described, body, list(training.features)),
            best=best,
            trials=[trial for _, trial in judged],
            seconds=time.perf_counter() - started,
            chosen=f"h2o.automl.H2OAutoML:{key.partition('_')[0]}",
        )

    def predict(self, estimator: Any, frame: Any) -> Prediction:
        """Predict with a fitted model for a float32 frame of shape (n_rows, n_features)."""
        return predict(estimator, frame)


@contextmanager
def _started(options: AutoML, search: Search, place: str) -> Iterator[H2OServer]:
    """Have an H2O that ends with the block; raises EngineError naming `place`."""
    try:
        server = H2OServer.start(JAR, memory=options.memory, threads=max(0, search.jobs))
        try:
            yield server
        finally:
            server.stop()
    except EngineError as error:
        raise EngineError(f"{place}: {error} (`options.memory` is {options.memory})") from error


def _options(candidate: Candidate, place: str) -> AutoML:
    for name in ("preprocessors", "numbers"):
        if getattr(candidate, name):
            raise TrainingError(f"{place}.{name}: H2O prepares columns itself; leave `{name}` out")
    return AutoML.model_validate(candidate.options)


def _classes(training: TrainingSet) -> int:
    """Return how many classes there are, 0 for a regression."""
    return 0 if training.task == "regression" else int(training.target.max()) + 1


def _put_training(server: H2OServer, training: TrainingSet) -> None:
    """Make the frame of the training split, with its target and the number of each row's fold."""
    named = kinds(training.features)
    fold = np.empty(len(training.frame), dtype=int)
    for number, (_, rows) in enumerate(training.folds):
        fold[rows] = number
    classes = _classes(training)
    target = [level(code) if classes else repr(code) for code in training.target.tolist()]
    body = csv(training.frame.to_numpy(np.float32), named, target, list(map(str, fold.tolist())))
    kind = "enum" if classes else "real"
    server.put_frame(ROWS, body, {**columns(named), TARGET: kind, FOLD: "real"})


def _request(options: AutoML, search: Search, metric: str) -> Answer:
    """Return what AutoML is asked for, see `H2OAutoML` of the Python client."""
    seed = search.seed if options.seed is None else options.seed
    return {
        "input_spec": {
            "training_frame": ROWS,
            "response_column": TARGET,
            "fold_column": FOLD,
            "ignored_columns": [ROW],
            "sort_metric": SORTED_BY.get(metric, "AUTO"),
        },
        "build_control": {
            "project_name": PROJECT,
            "stopping_criteria": {"seed": seed, **options.budget},
            "keep_cross_validation_predictions": True,
        },
        "build_models": {"exclude_algos": options.excluded},
    }


def _fitted(server: H2OServer, request: Answer, place: str) -> list[str]:
    """Let AutoML run to its end, and return the names of its models.

    Raises TrainingError where there is none.
    """
    state = _ended(server, server.submit("/99/AutoMLBuilder", request)["job"], place)
    if state["status"] != "DONE":
        raise TrainingError(f"{place}: AutoML failed: {state.get('exception')}")
    answer = server.request("GET", f"/99/AutoML/{quote(state['dest']['name'], safe='')}")
    names = [model["name"] for model in answer["leaderboard"]["models"]]
    if not names:
        raise TrainingError(
            f"{place}: AutoML has fitted no model within its budget; give it more `seconds`, or a "
            "number of `models`"
        )
    return names


def _ended(server: H2OServer, job: Answer, place: str) -> Answer:
    """Return the last state of a job, and show on the way how far it is."""
    path = f"/3/Jobs/{quote(job['key']['name'], safe='')}"
    name = place.rpartition(".")[2]
    with tqdm(total=1, desc=f"{name} (AutoML)", disable=None, leave=False) as bar:
        while True:
            state: Answer = server.request("GET", path)["jobs"][0]
            bar.update(max(0.0, state["progress"] - bar.n))
            if state["status"] in ("DONE", "FAILED", "CANCELLED"):
                return state
            time.sleep(LOOK_SECONDS)


def _trial(server: H2OServer, key: str, training: TrainingSet) -> Trial:
    """Judge a model by what it predicted for the rows left out, fold by fold."""
    model = _model(server, key)
    judged = model
    if learner := model["output"].get("metalearner"):
        judged = _model(server, learner["name"])
    frame = judged["output"]["cross_validation_holdout_predictions_frame_id"]["name"]
    held_out = prediction(server.frame_csv(frame), classes=_classes(training))
    names = list(training.metrics or metrics_of(training.task))
    folds: dict[str, list[float]] = {}
    for _, rows in training.folds:
        for name, value in score(training.target[rows], _of(rows, held_out), names).items():
            folds.setdefault(name, []).append(value)
    return Trial(
        hyperparameters={"estimator": f"h2o:{STAMP.sub('', key)}", **_changed(model)}, folds=folds
    )


def _of(rows: NDArray[np.intp], whole: Prediction) -> Prediction:
    """Return the prediction for some rows, by position."""
    if whole.labels is None or whole.scores is None:
        assert whole.values is not None  # H2O gives either both or this
        return Prediction(values=whole.values[rows])
    return Prediction(labels=whole.labels[rows], scores=whole.scores[rows])


def _model(server: H2OServer, key: str) -> Answer:
    model: Answer = server.request("GET", f"/3/Models/{quote(key)}")["models"][0]
    return model


def _changed(model: Answer) -> dict[str, Any]:
    """Return the hyperparameters that are not H2O's defaults, as far as they are plain values."""
    return {
        each["name"]: each["actual_value"]
        for each in model["parameters"]
        if isinstance(each["actual_value"], (bool, int, float, str))
        and each["actual_value"] not in ("", each["default_value"])
        and not each["name"].startswith(OF_NO_INTEREST)
    }
