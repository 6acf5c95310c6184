"""`python -m treeline.commands.compare --base REV [MODEL …]`: exports here against those of REV.

Both artifacts predict the candidate's test rows. Prints the comparison, writes it to
`model/<model>/comparison.{json,md}`, and exits with 1 when a model must not ship.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from treeline.artifact.signature import Signature
from treeline.artifact.store import SIGNATURE_FILE, ArtifactStore, Model
from treeline.comparison import CANDIDATE, INCUMBENT, compare, told
from treeline.config import Layout, read_params
from treeline.config.metrics import metrics_of
from treeline.config.models import ModelSpec
from treeline.errors import ArtifactError, ComparisonError, DataError, TreelineError
from treeline.files import write_json, write_text
from treeline.preparation.encoding import encoded, encoded_target
from treeline.tables import read_frame

ADMITTED = frozenset({"onnx", "pickle"})  # of this repository's own history, digests checked


def compared(spec: ModelSpec, paths: Layout, *, base: str) -> dict[str, Any] | None:
    """Compare one exported model with that of `base`; None where `base` has no such model.

    Raises ComparisonError when this model is not exported, or cannot be set beside that one.
    """
    candidate = ArtifactStore(paths.model.parent, admitted=ADMITTED).load(paths.name)
    _is_of_this_training(candidate.signature, paths)
    with tempfile.TemporaryDirectory() as folder:
        incumbent = _incumbent(paths, base=base, folder=Path(folder))
        if incumbent is None:
            return None
        test = read_frame(paths.test)
        models = {CANDIDATE: candidate, INCUMBENT: incumbent}
        predictions = {name: _predicted(model, test) for name, model in models.items()}
    classes = list(candidate.signature.classes) or None
    names = [spec.champion.metric, *metrics_of(spec.target.task)]
    return compare(
        encoded_target(test[spec.target.name], classes),
        predictions,
        metrics=list(dict.fromkeys(names)),
        may_drop_by=spec.gate.may_drop_by,
        seed=spec.split.seed,
    )


def _is_of_this_training(signature: Signature, paths: Layout) -> None:
    verdict = json.loads(paths.verdict.read_text()) if paths.verdict.exists() else {}
    if not verdict.get("passed"):
        reasons = "; ".join(verdict.get("reasons", ["the gate has not decided yet"]))
        raise ComparisonError(f"{paths.name}: nothing to compare, the gate did not pass: {reasons}")
    if signature.metrics != json.loads(paths.metrics.read_text()):
        raise ComparisonError(
            f"{paths.name}: the export is older than the training; run make repro"
        )


def _incumbent(paths: Layout, *, base: str, folder: Path) -> Model | None:
    """Fetch the model of a revision, from DVC's cache or remote, and load it."""
    shown = _run("git", "show", f"{base}:./{paths.signature}")
    if shown.returncode:
        known = _run("git", "rev-parse", "--verify", "--quiet", f"{base}^{{commit}}")
        if known.returncode:
            raise ComparisonError(f"{base}: no such revision; give a commit, a branch or a tag")
        return None
    store = folder / paths.name
    store.mkdir()
    (store / SIGNATURE_FILE).write_text(shown.stdout, encoding="utf-8")
    fetched = _run(
        "dvc", "get", "--quiet", ".", str(paths.artifact), "--rev", base,
        "--out", str(store / paths.artifact.name),
    )  # fmt: skip
    if fetched.returncode:
        raise ComparisonError(
            f"{paths.artifact} of {base} cannot be fetched: {fetched.stderr.strip()}; "
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


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def main(arguments: list[str]) -> int:
    """Compare the named models, or all, and return the exit code."""
    parser = argparse.ArgumentParser(prog="compare", description=__doc__)
    parser.add_argument("--base", required=True, help="commit, branch or tag of the incumbent")
    parser.add_argument("models", nargs="*", help="names of models; all without any")
    asked = parser.parse_args(arguments)
    good, declared = True, read_params().models
    for name in asked.models or declared:
        if name not in declared:
            raise ComparisonError(f"{name}: not declared; declared are {', '.join(declared)}")
        good = _one(declared[name], Layout(name), base=asked.base) and good
    return 0 if good else 1


def _one(spec: ModelSpec, paths: Layout, *, base: str) -> bool:
    try:
        found = compared(spec, paths, base=base)
    except (ComparisonError, ArtifactError) as error:
        print(f"## {paths.name} cannot be compared\n\n- {error}\n")
        return False
    if found is None:
        print(f"## {paths.name} may ship\n\n- {base} has no such model: nothing to compare with\n")
        return True
    text = told(paths.name, found, base=base)
    write_json(paths.comparison, {**found, "base": base})
    write_text(paths.comparison.with_suffix(".md"), text + "\n")
    print(text + "\n")
    return bool(found["verdict"]["passed"])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except TreelineError as error:
        sys.exit(str(error))
