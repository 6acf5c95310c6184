"""Export stage: model.pkl + verdict.json → artifact/, signature.json, card.md."""

import hashlib
import json
import pickle
from typing import Any

from treeline.artifact.signature import Signature, Verdict
from treeline.artifact.store import ArtifactStore
from treeline.config import Layout, read_params
from treeline.config.models import ModelSpec
from treeline.errors import ExportError
from treeline.exporting import Package, Proof, packaged
from treeline.files import write_bytes, write_text
from treeline.lineage import lineage
from treeline.preparation.reference import reference
from treeline.reports.card import card
from treeline.tables import read_frame


def export(spec: ModelSpec, paths: Layout) -> str:
    """Export the champion that the gate let pass, and load it back as the service will."""
    test = read_frame(paths.test)
    proof = Proof.of(test, spec)
    package = packaged(pickle.loads(paths.estimator.read_bytes()), _draft(spec, paths), proof)
    signature = _written(package, paths)
    ArtifactStore(paths.model.parent, admitted=frozenset({signature.runtime})).load(paths.name)
    summary = json.loads(paths.summary.read_text())
    evaluation = json.loads(paths.evaluation.read_text())
    write_text(paths.card, card(signature, summary=summary, evaluation=evaluation))
    parity = signature.parity
    return (
        f"version {signature.version} for the {signature.runtime} runtime, equal to the estimator "
        f"on {parity.rows} test rows within {parity.largest_difference:.1g} {parity.note}".rstrip()
    )


def _draft(spec: ModelSpec, paths: Layout) -> dict[str, Any]:
    """Return the fields of the signature that are known before the artifact is made."""
    verdict = Verdict.model_validate_json(paths.verdict.read_bytes())
    if not verdict.passed:
        raise ExportError("the gate refused this model: " + "; ".join(verdict.reasons))
    summary = json.loads(paths.summary.read_text())
    training = json.loads(paths.training.read_text())
    return {
        "name": paths.name,
        "default": read_params().default == paths.name,
        "description": spec.description,
        "notes": spec.notes.strip(),
        "target": spec.target,
        "classes": tuple(summary["target"].get("classes", ())),
        "features": spec.features,
        "metrics": json.loads(paths.metrics.read_text()),
        "verdict": verdict,
        "lineage": lineage(paths, spec, training=training),
        "reference": reference(read_frame(paths.train), spec.features),
    }


def _written(package: Package, paths: Layout) -> Signature:
    """Write the artifact, then the signature that names its digests, so that it is never ahead."""
    digests = {}
    for name, payload in package.files.items():
        write_bytes(paths.artifact / name, payload)
        digests[f"{paths.artifact.name}/{name}"] = hashlib.sha256(payload).hexdigest()
    for stranger in set(paths.artifact.iterdir()) - {
        paths.artifact / name for name in package.files
    }:
        stranger.unlink()
    signature = package.signature.model_copy(update={"files": digests})
    write_text(paths.signature, signature.document())
    return signature
