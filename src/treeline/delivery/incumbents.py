"""The model exported here and the one of an earlier commit → which is better, on the same rows."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from treeline.artifact.store import SIGNATURE_FILE, ArtifactStore, Model
from treeline.comparison import CANDIDATE, INCUMBENT, compare, told
from treeline.config import Layout
from treeline.config.models import ModelSpec
from treeline.contract.signature import Signature
from treeline.delivery import releasing, repository, storage
from treeline.delivery.processes import attempt
from treeline.errors import ArtifactError, ComparisonError, DataError, IncumbentAbsentError
from treeline.frames import read_frame
from treeline.preparation.encoding import encoded, encoded_target

ADMITTED = frozenset({"h2o", "onnx", "pickle"})  # of this repository's own history, digests checked


@dataclass(frozen=True)
class Answer:
    """Whether a model may take the place of the one before: in words, and in numbers if any."""

    good: bool
    text: str
    found: dict[str, Any] | None = None


def answer(spec: ModelSpec, paths: Layout, *, base: str) -> Answer:
    """Set the model exported here beside that of the commit `base`.

    A model that cannot be compared may not take the place: a person must decide. Only where the
    other is to be had nowhere, and none was ever in service, there is nothing to decide.
    """
    try:
        return _answer(spec, paths, base=base)
    except IncumbentAbsentError as error:
        if storage.shared() is not None and releasing.released() is not None:
            return _refusal(paths, error)
        why = f"its model of {base} is to be had neither here nor from a shared remote"
        return Answer(True, f"## {paths.name} is compared with nothing\n\n- {why}")
    except (ComparisonError, ArtifactError) as error:
        return _refusal(paths, error)


def _answer(spec: ModelSpec, paths: Layout, *, base: str) -> Answer:
    candidate = _exported(paths)
    before = repository.shown(base, paths.signature)
    if before is None:
        if repository.resolved(base) is None:
            raise ComparisonError(f"{base}: no such revision; give a commit, a branch or a tag")
        nothing = f"- {base} has no such model: nothing to compare with"
        return Answer(True, f"## {paths.name} may ship\n\n{nothing}")
    if candidate.document() == before:
        same = f"- version {candidate.version}, to the last byte"
        return Answer(True, f"## {paths.name} is still the model of {base}\n\n{same}")
    found = _compared(spec, paths, signature=before, base=base)
    return Answer(found["verdict"]["passed"], told(paths.name, found, base=base), found)


def _refusal(paths: Layout, error: Exception) -> Answer:
    return Answer(False, f"## {paths.name} cannot be compared\n\n- {error}")


def _exported(paths: Layout) -> Signature:
    """Return the signature here; raises ComparisonError when it is not that of this training."""
    verdict = (
        json.loads(paths.verdict.read_text(encoding="utf-8")) if paths.verdict.exists() else {}
    )
    if not verdict.get("passed"):
        reasons = "; ".join(verdict.get("reasons", ["the gate has not decided yet"]))
        raise ComparisonError(f"{paths.name}: nothing to compare, the gate did not pass: {reasons}")
    signature = ArtifactStore(paths.model.parent, admitted=ADMITTED).signature(paths.name)
    if signature.metrics != json.loads(paths.metrics.read_text(encoding="utf-8")):
        raise ComparisonError(
            f"{paths.name}: the export is older than the training; run make repro"
        )
    return signature


def _compared(spec: ModelSpec, paths: Layout, *, signature: str, base: str) -> dict[str, Any]:
    candidate = ArtifactStore(paths.model.parent, admitted=ADMITTED).load(paths.name)
    with tempfile.TemporaryDirectory() as folder:
        incumbent = _incumbent(paths, signature=signature, base=base, folder=Path(folder))
        test = read_frame(paths.test)
        models = {CANDIDATE: candidate, INCUMBENT: incumbent}
        predictions = {name: _predicted(model, test) for name, model in models.items()}
    classes = list(candidate.signature.classes) or None
    names = [spec.champion.metric, *spec.metrics]
    found = compare(
        encoded_target(test[spec.target.name], classes),
        predictions,
        metrics=list(dict.fromkeys(names)),
        may_drop_by=spec.gate.may_drop_by,
    )
    return {**found, "base": base}


def _incumbent(paths: Layout, *, signature: str, base: str, folder: Path) -> Model:
    """Fetch the model of a revision, from DVC's cache or remote, and load it."""
    store = folder / paths.name
    store.mkdir()
    (store / SIGNATURE_FILE).write_text(signature, encoding="utf-8")
    fetched = attempt(
        "dvc", "get", "--quiet", ".", str(paths.artifact), "--rev", base,
        "--out", str(store / paths.artifact.name),
    )  # fmt: skip
    if fetched.returncode:
        raise IncumbentAbsentError(
            f"{paths.artifact} of {base} cannot be fetched: {storage.complaint(fetched.stderr)}; "
            "was it pushed? try: dvc fetch --all-commits"
        )
    return ArtifactStore(folder, admitted=ADMITTED).load(paths.name)


def _predicted(model: Model, test: pd.DataFrame) -> Any:
    try:
        return model.runtime.predict(encoded(test, model.signature.features).to_numpy())
    except (KeyError, DataError) as error:
        raise ComparisonError(
            f"{model.signature.name} {model.signature.version} asks for {error}, which the test "
            "rows here do not have: the contract changed, so the two cannot be compared on one set "
            "of rows; a person must decide"
        ) from error
