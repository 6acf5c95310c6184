"""The files that the pipeline wrote for a model → one set of documents that belong together."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from treeline.config import Layout
from treeline.config.models import ModelSpec
from treeline.contract.signature import Signature, Verdict
from treeline.errors import TrackingError
from treeline.files import digest

LOCK = Path("dvc.lock")
VERSION = "model"  # the folder of what is registered as a version of the model


@dataclass(frozen=True)
class Written:
    """What one training left behind.

    `outputs` are DVC's digests by path; `files` are to be recorded, by the name they get there;
    `signature` is None when the gate refused the model.
    """

    name: str
    spec: ModelSpec
    summary: Mapping[str, Any]
    training: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    metrics: Mapping[str, float]
    verdict: Verdict
    outputs: Mapping[str, str]
    files: Mapping[str, Path]
    signature: Signature | None


def written(spec: ModelSpec, paths: Layout) -> Written:
    """Read what was written for a model.

    Raises TrackingError when it is not trained and judged, or the files are of different trainings.
    """
    documents = {path: _document(path) for path in _judged(paths)}
    verdict = Verdict.model_validate(documents[paths.verdict])
    outputs = _outputs(paths)
    signature = _signature(paths, documents, verdict) if verdict.passed else None
    return Written(
        name=paths.name,
        spec=spec,
        summary=documents[paths.summary],
        training=documents[paths.training],
        evaluation=documents[paths.evaluation],
        metrics=documents[paths.metrics],
        verdict=verdict,
        outputs=outputs,
        files={**_told(paths), **_exported(paths, signature)},
        signature=signature,
    )


def _judged(paths: Layout) -> list[Path]:
    return [paths.summary, paths.training, paths.evaluation, paths.metrics, paths.verdict]


def _document(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TrackingError(f"{path}: not there, so there is nothing to record yet") from None


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


def _signature(paths: Layout, documents: Mapping[Path, Any], verdict: Verdict) -> Signature:
    """Return the signature; raises TrackingError when it is not that of this training."""
    training = documents[paths.training]
    champion = training["candidates"][training["champion"]]
    if paths.signature.exists():
        found = Signature.read(paths.signature)
        lineage = found.lineage
        if (found.verdict, found.metrics) == (verdict, documents[paths.metrics]) and (
            lineage.champion,
            lineage.hyperparameters,
        ) == (training["champion"], champion["hyperparameters"]):
            return found
    raise TrackingError(
        f"{paths.signature}: not of this training, which is not exported yet: make repro"
    )


def _told(paths: Layout) -> dict[str, Path]:
    """Return what people look at, whether or not the model was exported."""
    single = [paths.training, paths.candidates, paths.evaluation, paths.verdict, paths.report]
    found = {path.name: path for path in single if path.exists()}
    for folder in (paths.images, paths.plots):
        found |= {f"{folder.name}/{path.name}": path for path in sorted(folder.glob("*.*"))}
    return found


def _exported(paths: Layout, signature: Signature | None) -> dict[str, Path]:
    """Return what a version of the model is made of: the signature, and the files it names."""
    if signature is None:
        return {}
    found = {f"{VERSION}/{paths.signature.name}": paths.signature}
    for name, expected in signature.files.items():
        path = paths.model / name
        if not path.is_file() or digest(path) != expected:
            raise TrackingError(f"{path}: not the one that {paths.signature} names: make repro")
        found[f"{VERSION}/{name}"] = path
    return found | ({paths.card.name: paths.card} if paths.card.exists() else {})
