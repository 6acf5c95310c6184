"""What a training left behind → what is recorded of it. Pure but for the digests of files."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import treeline
from treeline.config.models import BASELINE, CHAMPION, CHOOSING, Candidate
from treeline.files import digest
from treeline.trackers.reading import Written
from treeline.trackers.record import Dataset, Exported, Folds, Origin, Record, Trial

LINEAGE = ("raw.parquet", "train.parquet", "test.parquet", "model.pkl", "artifact")
OWN = "treeline"  # what the tags of this project begin with
TYPES = {"number": "double", "integer": "double", "boolean": "boolean", "category": "string"}


def recorded(found: Written, origin: Origin) -> Record:
    """Return the record of a training.

    Metrics of the test split are `test/…`, with `test_low/…` and `test_high/…` around them and
    those of the baseline as `baseline/…`; `cv/…` are means over the folds.
    """
    training = found.training
    champion = training["candidates"][training["champion"]]
    draft = Record(
        model=found.name,
        description=found.spec.description,
        params=_params(found, champion),
        metrics={**_judged(found.evaluation), **means(champion["folds"])},
        folds=champion["folds"],
        tags=_tags(found),
        note=_note(found),
        datasets=tuple(_datasets(found)),
        trials=tuple(_trials(found)),
        files={name: digest(path) for name, path in found.files.items()},
        exported=_exported(found),
        origin=origin,
    )
    content = draft.model_dump_json(exclude={"origin", "digest"})
    return draft.model_copy(update={"digest": hashlib.sha256(content.encode()).hexdigest()})


def means(folds: Folds) -> dict[str, float]:
    """Return the mean of each metric over the folds, as `cv/…`."""
    return {f"cv/{name}": float(np.mean(values)) for name, values in folds.items()}


def plain(value: Any) -> str:
    """Return a parameter as text: as Python writes it, lists and blocks as JSON."""
    return json.dumps(value) if isinstance(value, (dict, list, tuple)) else str(value)


def _params(found: Written, champion: Mapping[str, Any]) -> dict[str, Any]:
    spec = found.spec
    return {
        "champion": found.training["champion"],
        "champion.estimator": champion["estimator"],
        **{f"champion.{name}": value for name, value in champion["hyperparameters"].items()},
        "metric": found.training["metric"],
        "target": spec.target.name,
        "task": spec.target.task,
        "source": spec.source.kind,
        "features": len(spec.features),
        **{f"rows.{name}": rows for name, rows in found.summary["rows"].items()},
        **{f"split.{name}": value for name, value in spec.split.model_dump().items()},
        **{f"search.{name}": value for name, value in spec.search.model_dump().items()},
    }


def _judged(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Return champion and baseline on the test split, as flat metrics."""
    found: dict[str, float] = {}
    for name, it in evaluation[CHAMPION].items():
        found |= {f"test/{name}": it["value"]}
        if it["low"] is not None:
            found |= {f"test_{bound}/{name}": it[bound] for bound in ("low", "high")}
    return found | {f"baseline/{name}": it["value"] for name, it in evaluation[BASELINE].items()}


def _tags(found: Written) -> dict[str, str]:
    tags = {
        f"{OWN}.model": found.name,
        f"{OWN}.release": treeline.__version__,
        f"{OWN}.verdict": "passed" if found.verdict.passed else "refused",
    }
    for path in map(Path, found.outputs):
        if path.name in LINEAGE:
            tags[f"dvc.{path.name}"] = found.outputs[str(path)]
    if found.signature is not None:
        lineage = found.signature.lineage
        tags |= {f"{OWN}.version": found.signature.version}
        tags |= {f"{OWN}.runtime": found.signature.runtime}
        tags |= {f"{OWN}.data.{name}": value for name, value in lineage.data.items()}
        tags |= {f"{OWN}.params": lineage.params, f"{OWN}.code": lineage.code}
        tags |= {f"{OWN}.libraries": ", ".join(map(" ".join, lineage.libraries.items()))}
    return tags


def _note(found: Written) -> str:
    """Return what stands first where people look: what the model is for, and the verdict."""
    verdict = "The gate let it pass:" if found.verdict.passed else "**The gate refused it:**"
    reasons = [f"- {reason}" for reason in found.verdict.reasons]
    return "\n".join([found.spec.description, "", verdict, "", *reasons]).strip()


def _datasets(found: Written) -> Iterator[Dataset]:
    columns = {name: TYPES[feature.type] for name, feature in found.spec.features.items()}
    values = found.spec.target.task == "regression"
    columns[found.spec.target.name] = "double" if values else "string"
    for part in ("train", "test"):
        path = f"dataset/{found.name}/{part}.parquet"
        if path in found.outputs:
            yield Dataset(
                name=f"{found.name} {part}",
                context="training" if part == "train" else "testing",
                path=path,
                digest=found.outputs[path],
                rows=found.summary["rows"][part],
                columns=columns,
            )


def _trials(found: Written) -> Iterator[Trial]:
    for name, candidate in found.training["candidates"].items():
        declared = found.spec.candidates.get(name, Candidate(estimator=candidate["estimator"]))
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
                    f"{OWN}.champion": str(name == found.training["champion"]).lower(),
                },
            )


def _is_best(trial: Mapping[str, Any], candidate: Mapping[str, Any]) -> bool:
    """Tell whether a trial is the one that its candidate was fitted with."""
    chosen = candidate["hyperparameters"]
    settings = trial["hyperparameters"].items()
    return trial["folds"] == candidate["folds"] and all(
        chosen.get(name) == value for name, value in settings
    )


def _exported(found: Written) -> Exported | None:
    if found.signature is None:
        return None
    content = found.signature.document()
    return Exported(
        version=found.signature.version,
        signature=hashlib.sha256(content.encode()).hexdigest(),
        metrics=found.signature.metrics,
    )
