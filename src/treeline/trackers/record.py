"""What is recorded of one training: plain data, the same whatever the tracker."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ruamel.yaml import YAML

import treeline
from treeline.config import Layout
from treeline.config.models import CHOOSING, Candidate, ModelSpec
from treeline.contract.features import Closed
from treeline.contract.kinds import Holds
from treeline.contract.signature import Sha256, Signature, Verdict
from treeline.contract.texts import Slug
from treeline.errors import TrackingError
from treeline.files import digest
from treeline.records.evaluation import Evaluation, read_evaluation
from treeline.records.reading import read_record
from treeline.records.summary import Summary, read_summary
from treeline.records.training import CandidateRecord, Training, read_training

Folds = dict[str, tuple[float, ...]]


class Dataset(Closed):
    """One split: where it lies, DVC's digest of it (MD5), rows, and the type of each column."""

    name: str
    context: Literal["training", "testing"]
    path: str
    digest: str
    rows: int
    columns: dict[str, str]


class Trial(Closed):
    """One setting of one candidate, and each metric on each fold; `key` is unique in a record."""

    key: str
    hyperparameters: dict[str, Any]
    folds: Folds
    tags: dict[str, str]


class Exported(Closed):
    """What the training exported: the version of the model, and the digest of its signature."""

    version: str
    signature: Sha256
    metrics: dict[str, float]


class Origin(Closed):
    """What may differ when the same training is recorded again.

    Times are milliseconds since 1970; `seconds` is what each candidate took; `commit` is the one
    that was checked out.
    """

    began: int
    ended: int
    seconds: dict[str, float] = {}
    commit: str = ""


class Record(Closed):
    """One training of one model.

    `digest` is the SHA-256 over all the rest but the origin, the bytes of the recorded files
    among it: the same training has the same digest on every machine.
    """

    model: Slug
    description: str
    params: dict[str, Any]
    metrics: dict[str, float]
    folds: Folds
    tags: dict[str, str]
    note: str
    datasets: tuple[Dataset, ...]
    trials: tuple[Trial, ...]
    files: dict[str, Sha256]
    exported: Exported | None = None
    digest: str = ""
    origin: Origin


LOCK = Path("dvc.lock")
VERSION = "model"  # the folder of what is registered as a version of the model


@dataclass(frozen=True)
class Written:
    """The files that the stages of one training write, as they are read.

    `outputs` are DVC's digests by path; `files` are to be recorded, by the name they get there;
    `signature` is None when the gate refused the model.
    """

    name: str
    spec: ModelSpec
    summary: Summary
    training: Training
    evaluation: Evaluation
    metrics: Mapping[str, float]
    verdict: Verdict
    outputs: Mapping[str, str]
    files: Mapping[str, Path]
    signature: Signature | None


def written(spec: ModelSpec, paths: Layout) -> Written:
    """Read what was written for a model.

    Raises TrackingError when it is not trained and judged, or the files are of different trainings.
    """
    try:
        summary, training = read_summary(paths.summary), read_training(paths.training)
        evaluation = read_evaluation(paths.evaluation)
        metrics = read_record(paths.metrics, dict[str, float])
        verdict = Verdict.model_validate_json(paths.verdict.read_bytes())
    except FileNotFoundError as error:
        raise TrackingError(
            f"{error.filename}: not there, so there is nothing to record yet"
        ) from None
    outputs = _outputs(paths)
    signature = _signature(paths, training, metrics, verdict) if verdict.passed else None
    return Written(
        name=paths.name,
        spec=spec,
        summary=summary,
        training=training,
        evaluation=evaluation,
        metrics=metrics,
        verdict=verdict,
        outputs=outputs,
        files={**_report_files(paths), **_exported(paths, signature)},
        signature=signature,
    )


def _outputs(paths: Layout) -> dict[str, str]:
    """Return DVC's digest of each output; raises TrackingError when a stage is to run again."""
    if not LOCK.exists():
        return {}
    stages = YAML(typ="safe").load(LOCK.read_text(encoding="utf-8")).get("stages", {})
    ours = [body for name, body in stages.items() if name.endswith(f"@{paths.name}")]
    outputs = {out["path"]: out["md5"] for body in ours for out in body.get("outs", ())}
    reads = [
        read
        for stage in ("train", "evaluate")
        for read in stages.get(f"{stage}@{paths.name}", {}).get("deps", ())
    ]
    for read in reads:
        if read["md5"] != outputs.get(read["path"], read["md5"]):
            raise TrackingError(
                f"{paths.name}: {read['path']} is newer than what was made of it: make repro"
            )
    return outputs


def _signature(
    paths: Layout, training: Training, metrics: Mapping[str, float], verdict: Verdict
) -> Signature:
    """Return the signature; raises TrackingError when it is not that of this training."""
    champion = training["candidates"][training["champion"]]
    if paths.signature.exists():
        signature = Signature.read(paths.signature)
        lineage = signature.lineage
        if (signature.verdict, signature.metrics) == (verdict, metrics) and (
            lineage.champion,
            lineage.hyperparameters,
        ) == (training["champion"], champion["hyperparameters"]):
            return signature
    raise TrackingError(
        f"{paths.signature}: not of this training, which is not exported yet: make repro"
    )


def _report_files(paths: Layout) -> dict[str, Path]:
    """Return what people look at, whether or not the model was exported."""
    single = [paths.training, paths.candidates, paths.evaluation, paths.verdict, paths.report]
    files = {path.name: path for path in single if path.exists()}
    for folder in (paths.images, paths.plots):
        files |= {f"{folder.name}/{path.name}": path for path in sorted(folder.glob("*.*"))}
    return files


def _exported(paths: Layout, signature: Signature | None) -> dict[str, Path]:
    """Return what a version of the model is made of: the signature, and the files it names."""
    if signature is None:
        return {}
    files = {f"{VERSION}/{paths.signature.name}": paths.signature}
    for name, expected in signature.files.items():
        path = paths.model / name
        if not path.is_file() or digest(path) != expected:
            raise TrackingError(f"{path}: not the one that {paths.signature} names: make repro")
        files[f"{VERSION}/{name}"] = path
    return files | ({paths.card.name: paths.card} if paths.card.exists() else {})


LINEAGE = ("raw.parquet", "train.parquet", "test.parquet", "model.pkl", "artifact")
OWN = "treeline"  # what the tags of this project begin with
TYPES: dict[Holds, str] = {"number": "double", "boolean": "boolean", "text": "string"}


def recorded(written: Written, origin: Origin) -> Record:
    """Return the record of a training.

    Metrics of the test split are `test/…`, with `test_low/…` and `test_high/…` around them and
    those of the baseline as `baseline/…`; `cv/…` are means over the folds.
    """
    training = written.training
    champion = training["candidates"][training["champion"]]
    draft = Record(
        model=written.name,
        description=written.spec.description,
        params=_params(written, champion),
        metrics={**_judged_metrics(written.evaluation), **means(champion["folds"])},
        folds=champion["folds"],
        tags=_tags(written),
        note=_note(written),
        datasets=tuple(_datasets(written)),
        trials=tuple(_trials(written)),
        files={name: digest(path) for name, path in written.files.items()},
        exported=_exported_version(written),
        origin=origin,
    )
    content = draft.model_dump_json(exclude={"origin", "digest"})
    return draft.model_copy(update={"digest": hashlib.sha256(content.encode()).hexdigest()})


def means(folds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the mean of each metric over the folds, as `cv/…`."""
    return {f"cv/{name}": float(np.mean(values)) for name, values in folds.items()}


def plain(value: Any) -> str:
    """Return a parameter as text: as Python writes it, lists and blocks as JSON."""
    return json.dumps(value) if isinstance(value, (dict, list, tuple)) else str(value)


def _params(written: Written, champion: CandidateRecord) -> dict[str, Any]:
    spec = written.spec
    return {
        "champion": written.training["champion"],
        "champion.estimator": champion["estimator"],
        **{f"champion.{name}": value for name, value in champion["hyperparameters"].items()},
        "metric": written.training["metric"],
        "target": spec.target.name,
        "task": spec.target.task,
        "source": spec.source.kind,
        "features": len(spec.features),
        **{f"rows.{name}": rows for name, rows in written.summary["rows"].items()},
        **{f"split.{name}": value for name, value in spec.split.model_dump().items()},
        **{f"search.{name}": value for name, value in spec.search.model_dump().items()},
    }


def _judged_metrics(evaluation: Evaluation) -> dict[str, float]:
    """Return champion and baseline on the test split, as flat metrics."""
    metrics: dict[str, float] = {}
    for name, it in evaluation["champion"].items():
        metrics[f"test/{name}"] = it["value"]
        if it["low"] is not None and it["high"] is not None:
            metrics |= {f"test_low/{name}": it["low"], f"test_high/{name}": it["high"]}
    return metrics | {
        f"baseline/{name}": it["value"] for name, it in evaluation["baseline"].items()
    }


def _tags(written: Written) -> dict[str, str]:
    tags = {
        f"{OWN}.model": written.name,
        f"{OWN}.release": treeline.__version__,
        f"{OWN}.verdict": "passed" if written.verdict.passed else "refused",
    }
    for path in map(Path, written.outputs):
        if path.name in LINEAGE:
            tags[f"dvc.{path.name}"] = written.outputs[str(path)]
    if written.signature is not None:
        lineage = written.signature.lineage
        tags |= {f"{OWN}.version": written.signature.version}
        tags |= {f"{OWN}.runtime": written.signature.runtime}
        tags |= {f"{OWN}.data.{name}": value for name, value in lineage.data.items()}
        tags |= {f"{OWN}.params": lineage.params, f"{OWN}.code": lineage.code}
        tags |= {f"{OWN}.libraries": ", ".join(map(" ".join, lineage.libraries.items()))}
    return tags


def _note(written: Written) -> str:
    """Return what stands first where people look: what the model is for, and the verdict."""
    verdict = "The gate let it pass:" if written.verdict.passed else "**The gate refused it:**"
    reasons = [f"- {reason}" for reason in written.verdict.reasons]
    return "\n".join([written.spec.description, "", verdict, "", *reasons]).strip()


def _datasets(written: Written) -> Iterator[Dataset]:
    columns = {name: TYPES[feature.kind.holds] for name, feature in written.spec.features.items()}
    values = written.spec.target.task == "regression"
    columns[written.spec.target.name] = "double" if values else "string"
    for part in ("train", "test"):
        path = f"dataset/{written.name}/{part}.parquet"
        if path in written.outputs:
            yield Dataset(
                name=f"{written.name} {part}",
                context="training" if part == "train" else "testing",
                path=path,
                digest=written.outputs[path],
                rows=written.summary["rows"][part],
                columns=columns,
            )


def _trials(written: Written) -> Iterator[Trial]:
    for name, candidate in written.training["candidates"].items():
        declared = written.spec.candidates.get(name, Candidate(estimator=candidate["estimator"]))
        fixed = {} if declared.trainer in CHOOSING else declared.options
        for number, trial in enumerate(candidate["trials"], start=1):
            yield Trial(
                key=f"{name} {number}",
                hyperparameters={**fixed, **trial["hyperparameters"]},
                folds=trial["folds"],
                tags={
                    f"{OWN}.candidate": name,
                    f"{OWN}.trainer": declared.trainer,
                    f"{OWN}.estimator": candidate["estimator"],
                    f"{OWN}.best": str(_is_best(trial, candidate)).lower(),
                    f"{OWN}.champion": str(name == written.training["champion"]).lower(),
                },
            )


def _is_best(trial: Mapping[str, Any], candidate: Mapping[str, Any]) -> bool:
    """Tell whether a trial is the one that its candidate was fitted with."""
    chosen = candidate["hyperparameters"]
    settings = trial["hyperparameters"].items()
    return trial["folds"] == candidate["folds"] and all(
        chosen.get(name) == value for name, value in settings
    )


def _exported_version(written: Written) -> Exported | None:
    if written.signature is None:
        return None
    content = written.signature.document()
    return Exported(
        version=written.signature.version,
        signature=hashlib.sha256(content.encode()).hexdigest(),
        metrics=written.signature.metrics,
    )
