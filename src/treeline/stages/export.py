"""Export stage: model.pkl + verdict.json → artifact/, signature.json, card.md."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from treeline.artifact.pickled import opened
from treeline.artifact.store import ArtifactStore
from treeline.config import Layout, read_params
from treeline.config.models import ModelSpec
from treeline.contract.signature import Signature, Verdict
from treeline.errors import ExportError
from treeline.export.packaging import Package, Proof, packaged
from treeline.export.provenance import lineage, reference
from treeline.files import write_bytes, write_text
from treeline.records.evaluation import read_evaluation
from treeline.records.summary import read_summary
from treeline.records.training import Training, read_training
from treeline.reports.card import card
from treeline.tables import read_frame
from treeline.trainers.contest import learnt_from, refitted

STATM = Path("/proc/self/statm")  # memory in pages, of Linux
LARGE_BYTES = 256 << 20  # below, a model is no matter of planning


def export(spec: ModelSpec, paths: Layout) -> str:
    """Export the champion that the gate let pass, and load it back as the service will."""
    return exported(spec, paths, default=read_params().default == paths.name)


def exported(spec: ModelSpec, paths: Layout, *, default: bool) -> str:
    """Export a champion; `default` says whether it answers where a request names no model."""
    test = read_frame(paths.test)
    proof = Proof.of(test, spec)
    training = read_training(paths.training)
    champion = opened(paths.estimator, digests=training.get("digests", {}))
    draft = {"default": default, **_draft(spec, paths, training)}
    if spec.champion.refit == "all":
        splits = [read_frame(paths.train), test]
        champion = refitted(champion, splits, spec, list(draft["classes"]) or None)
    package = packaged(champion, draft, proof)
    signature = _written(package, paths)
    before = _resident()
    model = ArtifactStore(paths.model.parent, admitted=frozenset({signature.runtime})).load(
        paths.name
    )
    _warn_of_memory(_resident() - before, paths.name)
    del model
    summary = read_summary(paths.summary)
    evaluation = read_evaluation(paths.evaluation)
    write_text(paths.card, card(signature, summary=summary, evaluation=evaluation))
    parity = signature.parity
    return (
        f"version {signature.version} for the {signature.runtime} runtime, equal to the estimator "
        f"on {parity.rows} test rows within {parity.largest_difference:.1g} {parity.note}".rstrip()
    )


def _resident() -> int:
    """Return the bytes of this process that are in memory, 0 where the system does not say."""
    if not STATM.is_file():
        return 0
    return int(STATM.read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _warn_of_memory(taken: int, name: str) -> None:
    if taken >= LARGE_BYTES:
        print(
            f"export {name}: loading it takes {taken / 2**20:,.0f} MiB, in each worker process of "
            "each replica; docs/operations.md says what to do about it",
            flush=True,
        )


def _draft(spec: ModelSpec, paths: Layout, training: Training) -> dict[str, Any]:
    """Return the fields of the signature that are known before the artifact is made."""
    verdict = Verdict.model_validate_json(paths.verdict.read_bytes())
    if not verdict.passed:
        raise ExportError("the gate refused this model: " + "; ".join(verdict.reasons))
    summary = read_summary(paths.summary)
    return {
        "name": paths.name,
        "description": spec.description,
        "notes": spec.notes.strip(),
        "target": spec.target,
        "classes": tuple(summary["target"].get("classes", ())),
        "features": spec.features,
        "missing": spec.missing,
        "key": spec.source.key,
        "metrics": json.loads(paths.metrics.read_text(encoding="utf-8")),
        "verdict": verdict,
        "learnt": learnt_from(spec, summary["rows"]),
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
