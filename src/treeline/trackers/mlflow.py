"""Records → MLflow: a run for each training, one nested in it for each trial, model versions.

An experiment has the name of its model, and so has the registered model. A run is found again by
the digest of its record. It is finished when everything is there, so one that was begun and not
finished is gone on with.
"""

import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Dataset as Input
from mlflow.entities import DatasetInput, InputTag, Metric, Param, Run
from mlflow.exceptions import MlflowException
from tqdm import tqdm

from treeline.artifact.store import SIGNATURE_FILE
from treeline.contract.signature import Signature
from treeline.errors import TrackingError, TreelineError
from treeline.signing import STATEMENT_FILE
from treeline.trackers import addresses
from treeline.trackers.addresses import DATABASE, FILES
from treeline.trackers.record import OWN, VERSION, Dataset, Exported, Folds, Record, means, plain

FILE = "MLmodel"
ENVIRONMENT, REQUIREMENTS = "python_env.yaml", "requirements.txt"
NEEDED = ("numpy", "onnx", "onnxruntime")


def mlmodel(signature: Signature, *, run: str) -> dict[str, str]:
    """Return the texts of those files by their path in the folder of the version."""
    graph = next((name for name in signature.files if name.endswith(".onnx")), None)
    if graph is None:
        return {}
    libraries = signature.lineage.libraries
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    onnx = {
        "data": graph,
        "onnx_version": libraries.get("onnx", ""),
        "providers": ["CPUExecutionProvider"],
    }
    function = {
        "loader_module": "mlflow.onnx",
        "data": graph,
        "python_version": python,
        "env": {"virtualenv": ENVIRONMENT},
    }
    document = {
        "run_id": run,
        "model_uuid": signature.version,
        "flavors": {"onnx": onnx, "python_function": function},
        "signature": _schema(signature),
        "metadata": {"features": list(signature.features)},
    }
    text = json.dumps(document, indent=2) + "\n"
    pinned = [f"{name}=={libraries[name]}" for name in NEEDED if name in libraries]
    environment = {"python": python, "dependencies": [f"-r {REQUIREMENTS}"]}
    return {
        FILE: text,
        f"{graph.rpartition('/')[0]}/{FILE}": text,  # the ONNX flavour looks beside the graph again
        ENVIRONMENT: json.dumps(environment) + "\n",
        REQUIREMENTS: "\n".join(["mlflow", *pinned]) + "\n",
    }


def _schema(signature: Signature) -> dict[str, str]:
    """Return the inputs and outputs of the graph, as `treeline.artifact.onnx` names them."""
    inputs = [_tensor("features", "float32", -1, len(signature.features))]
    if signature.target.task == "regression":
        outputs = [_tensor("value", "float32", -1)]
    else:
        outputs = [_tensor("label", "int64", -1)]
        scores = _tensor("scores", "float32", -1, len(signature.classes))
        outputs += [scores] if signature.probabilities else []
    return {"inputs": json.dumps(inputs), "outputs": json.dumps(outputs)}


def _tensor(name: str, dtype: str, *shape: int) -> dict[str, Any]:
    return {
        "type": "tensor",
        "tensor-spec": {"dtype": dtype, "shape": list(shape)},
        "name": name,
        "required": True,
    }


ADDRESSES = (("experiments", "artifact_location"), ("runs", "artifact_uri"))


def relocate(root: Path, database: Path = DATABASE) -> None:
    """Let the addresses of files below `.treeline/mlruns` begin with `root`; others stay."""
    if not database.exists():
        return
    inside = f"/{FILES.as_posix()}/"
    with closing(sqlite3.connect(database)) as store, store:
        for table, column in ADDRESSES:
            if not store.execute(f"PRAGMA table_info({table})").fetchall():
                return  # not made by MLflow, which will say so
            store.execute(
                f"UPDATE {table} SET {column} = :root || substr({column}, instr({column}, :inside))"
                f" WHERE instr({column}, '/') = 1 AND instr({column}, :inside) > 0"
                f" AND instr({column}, :root || :inside) <> 1",
                {"root": str(root), "inside": inside},
            )


# MLflow asks for these when it is imported, and when it asks a server: nothing is reported to its
# makers, and a server that is away is given up after seconds, not minutes. Who sets them, wins.
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("AWS_MAX_ATTEMPTS", "2")


CHAMPION, CHALLENGER = "champion", "challenger"
DIGEST, TRIAL = f"{OWN}.record", f"{OWN}.trial"
COMMIT, SIGNATURE, METRICS = f"{OWN}.commit", f"{OWN}.signature", f"{OWN}.metrics"
TAGS = ("version", "release", "runtime", "verdict")  # of a run, that its version has too
PARENT, NOTE = "mlflow.parentRunId", "mlflow.note.content"
PAGE = {"mlflow.experimentKind": "custom_model_development"}  # what its page shows first
FINISHED = "FINISHED"
EXISTS = "RESOURCE_ALREADY_EXISTS"
AT_ONCE = 100  # parameters that MLflow takes in one call


class MlflowTracker:
    """The MLflow that the environment names, or a file in this checkout."""

    def __init__(self) -> None:
        """Open the store; raises TrackingError when it is away."""
        self._uri = addresses.tracking_uri()
        with self._tracking_errors():
            addresses.look_for(self._uri)
            relocate(Path.cwd())
            self._client = MlflowClient(self._uri)

    def record(self, record: Record, files: Path) -> str:
        """Record a training with the files below a folder, and register what it exported."""
        with self._tracking_errors():
            run = self._run(self._experiment(record), record)
            if run.info.status != FINISHED:
                self._trials(run, record)
                self._judged(run, record)
                self._files(run, files)
            if record.exported and not self._versions(record):
                self._register(run, record, record.exported)
            if run.info.status != FINISHED:
                self._client.set_terminated(run.info.run_id, FINISHED, record.origin.ended)
        return f"run {run.info.run_id[:8]} in {addresses.shown(self._uri)}"

    def champion(self, model: str) -> str | None:
        """Return the commit that the champion is of, None without one, empty if not known."""
        with self._tracking_errors():
            version = self._aliases(model).get(CHAMPION)
            held = self._client.get_model_version(model, version) if version else None
        return None if held is None else str(held.tags.get(COMMIT, ""))

    def promote(self, record: Record, *, commit: str, statement: str = "") -> str:
        """Make what a training exported the champion, and say of which commit it is."""
        with self._tracking_errors():
            version = self._version(record)
            if statement:  # before its name: who follows it looks for the statement then
                run = self._client.get_model_version(record.model, version).run_id
                self._client.log_text(str(run), statement, f"{VERSION}/{STATEMENT_FILE}")
            self._client.set_model_version_tag(record.model, version, COMMIT, commit)
            aliases = self._aliases(record.model)
            if aliases.get(CHAMPION) != version:
                self._client.set_registered_model_alias(record.model, CHAMPION, version)
            if aliases.get(CHALLENGER) == version:
                self._client.delete_registered_model_alias(record.model, CHALLENGER)
        return f"version {version}, {CHAMPION}"

    def challenge(self, record: Record) -> str:
        """Make it the challenger, unless it is the champion."""
        with self._tracking_errors():
            version = self._version(record)
            aliases = self._aliases(record.model)
            if aliases.get(CHAMPION) == version:
                return f"version {version}, {CHAMPION}"
            if aliases.get(CHALLENGER) != version:
                self._client.set_registered_model_alias(record.model, CHALLENGER, version)
        return f"version {version}, {CHALLENGER}"

    # --- runs ------------------------------------------------------------------------------------

    def _experiment(self, record: Record) -> str:
        experiment = self._client.get_experiment_by_name(record.model)
        if experiment is not None and experiment.lifecycle_stage == "active":
            return str(experiment.experiment_id)
        place = addresses.artifact_location(self._uri, record.model)
        tags = {NOTE: record.description, **PAGE}
        return str(self._client.create_experiment(record.model, place, tags))

    def _run(self, experiment: str, record: Record) -> Run:
        runs = self._runs(experiment, f"tags.`{DIGEST}` = '{record.digest}'")
        if runs:
            return runs[0]
        tags = {DIGEST: record.digest, NOTE: record.note, **record.tags}
        tags |= {"mlflow.source.type": "PROJECT", "mlflow.source.name": "dvc repro"}
        tags |= {"mlflow.source.git.commit": record.origin.commit} if record.origin.commit else {}
        name = record.exported.version if record.exported else f"refused {record.digest[:8]}"
        return self._client.create_run(experiment, record.origin.began, tags, name)

    def _runs(self, experiment: str, condition: str) -> list[Run]:
        page = self._client.search_runs([experiment], condition)
        runs = list(page)
        while page.token:
            page = self._client.search_runs([experiment], condition, page_token=page.token)
            runs += page
        return runs

    def _trials(self, parent: Run, record: Record) -> None:
        experiment, of = parent.info.experiment_id, parent.info.run_id
        known = self._runs(experiment, f"tags.`{PARENT}` = '{of}'")
        there = {run.data.tags.get(TRIAL): run for run in known}
        for trial in tqdm(record.trials, desc=record.model, disable=None, leave=False):
            tags = {PARENT: of, TRIAL: trial.key, **trial.tags}
            run = there.get(trial.key) or self._client.create_run(
                experiment, parent.info.start_time, tags, trial.key
            )
            if run.info.status != FINISHED:
                self._log(run, means(trial.folds), trial.folds, trial.hyperparameters)
                self._client.set_terminated(run.info.run_id, FINISHED, record.origin.ended)

    def _judged(self, run: Run, record: Record) -> None:
        seconds = {f"seconds/{name}": value for name, value in record.origin.seconds.items()}
        self._log(run, {**record.metrics, **seconds}, record.folds, record.params)
        if record.datasets:
            self._client.log_inputs(run.info.run_id, [_input(each) for each in record.datasets])

    def _log(
        self, run: Run, metrics: dict[str, float], folds: Folds, params: dict[str, Any]
    ) -> None:
        """Log metrics, those of folds as steps from 1, and parameters.

        The time is that of the run: MLflow takes a metric that it has already for the same one.
        """
        at = run.info.start_time
        measured = [Metric(name, value, at, 0) for name, value in metrics.items()]
        for name, values in folds.items():
            steps = enumerate(values, start=1)
            measured += [Metric(f"folds/{name}", value, at, step) for step, value in steps]
        given = [Param(name, plain(value)) for name, value in params.items()]
        for start in range(0, max(len(measured), len(given)), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            self._client.log_batch(run.info.run_id, metrics=measured[part], params=given[part])

    def _files(self, run: Run, files: Path) -> None:
        folder = files / VERSION
        if folder.exists():
            signature = Signature.read(folder / SIGNATURE_FILE)
            for name, text in mlmodel(signature, run=run.info.run_id).items():
                (folder / name).write_text(text, encoding="utf-8")
        self._client.log_artifacts(run.info.run_id, str(files))

    # --- versions --------------------------------------------------------------------------------

    def _register(self, run: Run, record: Record, exported: Exported) -> None:
        try:
            self._client.create_registered_model(record.model, description=record.description)
        except MlflowException as error:
            if error.error_code != EXISTS:
                raise
        of = run.info.run_id
        tags = {f"{OWN}.{name}": record.tags[f"{OWN}.{name}"] for name in TAGS}
        tags |= {SIGNATURE: exported.signature, METRICS: json.dumps(exported.metrics)}
        self._client.create_model_version(
            record.model, f"runs:/{of}/{VERSION}", of, tags, description=record.note
        )

    def _version(self, record: Record) -> str:
        versions = self._versions(record)
        if not versions:
            raise TrackingError(
                f"{record.model}: no version is registered; it was removed meanwhile"
            )
        return versions[0]

    def _versions(self, record: Record) -> list[str]:
        wanted = record.exported and record.exported.signature
        versions = self._client.search_model_versions(f"name = '{record.model}'")
        return [str(each.version) for each in versions if each.tags.get(SIGNATURE) == wanted]

    def _aliases(self, model: str) -> dict[str, str]:
        aliases = self._client.get_registered_model(model).aliases
        return {name: str(version) for name, version in aliases.items()}

    @contextmanager
    def _tracking_errors(self) -> Iterator[None]:
        """Raise as TrackingError, with the address, whatever MLflow and its store complain of."""
        try:
            yield
        except TreelineError:
            raise
        except Exception as error:  # MLflow, SQLAlchemy, requests and boto3 have each their own
            place, reason = addresses.shown(self._uri), addresses.complaint(error)
            raise TrackingError(f"{place}: {reason}") from error


def _input(dataset: Dataset) -> DatasetInput:
    columns = [{"name": name, "type": kind} for name, kind in dataset.columns.items()]
    entity = Input(
        dataset.name,
        dataset.digest,
        "local",
        json.dumps({"uri": dataset.path}),
        json.dumps({"mlflow_colspec": columns}),
        json.dumps({"num_rows": dataset.rows}),
    )
    return DatasetInput(entity, [InputTag("mlflow.data.context", dataset.context)])
