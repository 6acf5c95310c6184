"""The model exported here and the one of an earlier commit → which is better, on the same rows."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from treeline.artifact import Prediction
from treeline.artifact.pickled import opened, predict
from treeline.artifact.store import SIGNATURE_FILE, ArtifactStore, Model
from treeline.config import Layout
from treeline.config.models import ModelSpec
from treeline.contest.matching import by_name, check_classes
from treeline.contest.seen_rows import learnt
from treeline.contract.signature import Signature
from treeline.delivery import releasing, repository, storage
from treeline.delivery.processes import attempt
from treeline.errors import (
    ArtifactError,
    ComparisonError,
    DataError,
    IncumbentAbsentError,
    TooFewRowsError,
)
from treeline.evaluation.comparison import CANDIDATE, INCUMBENT, Rules, compare, sentence
from treeline.evaluation.units import Units
from treeline.preparation.encoding import encoded, encoded_target
from treeline.records.comparison import Compared, ComparedWith, Comparison
from treeline.tables import read_frame

ADMITTED = frozenset({"h2o", "onnx", "pickle"})  # of this repository's own history, digests checked


DAY_SECONDS = 24 * 3600  # a contest a night: so many looks there may have been at an incumbent


@dataclass(frozen=True)
class Answer:
    """Whether a model may take the place of the one before: in words, and in numbers if any."""

    good: bool
    text: str
    comparison: ComparedWith | None = None

    @property
    def reason(self) -> str:
        """Its first point in words, in one line."""
        points = [line[2:] for line in self.text.splitlines() if line.startswith("- ")]
        return (points or self.text.splitlines())[0]


def answer(spec: ModelSpec, paths: Layout, *, base: str, now: float) -> Answer:
    """Set the model exported here beside that of the commit `base`, and beside the best release.

    A model that cannot be compared may not take the place: a person must decide. Only where the
    other is to be had nowhere, and none was ever in service, there is nothing to decide. `now`, in
    seconds of the epoch, tells how many nights the incumbent has been looked at.
    """
    try:
        return _answer(spec, paths, base=base, now=now)
    except IncumbentAbsentError as error:
        if storage.shared() is not None and releasing.released() is not None:
            return _refusal(paths, error)
        why = f"its model of {base} is to be had neither here nor from a shared remote"
        return Answer(True, f"## {paths.name} is compared with nothing\n\n- {why}")
    except TooFewRowsError as error:
        return _undecided(spec, paths, error)
    except (ComparisonError, ArtifactError) as error:
        return _refusal(paths, error)


def _answer(spec: ModelSpec, paths: Layout, *, base: str, now: float) -> Answer:
    candidate = exported(paths)
    before = repository.shown(base, paths.signature)
    if before is None:
        if repository.resolved(base) is None:
            raise ComparisonError(f"{base}: no such revision; give a commit, a branch or a tag")
        nothing = f"- {base} has no such model: nothing to compare with"
        return Answer(True, f"## {paths.name} may ship\n\n{nothing}")
    if candidate.document() == before:
        same = f"- version {candidate.version}, to the last byte"
        return Answer(True, f"## {paths.name} is still the model of {base}\n\n{same}")
    look = 1 + max(0, int((now - repository.committed(base)) // DAY_SECONDS))
    beside = _compared(spec, paths, Rival(before, base, look))
    versions = {candidate.version, Signature.parse(before, place=base).version}
    comparison = _with_the_best(spec, paths, beside, versions, look=look)
    text = sentence(paths.name, comparison, base=base, notes=comparison["notes"])
    return Answer(comparison["verdict"]["passed"], text, comparison)


def _with_the_best(
    spec: ModelSpec, paths: Layout, comparison: ComparedWith, versions: set[str], *, look: int
) -> ComparedWith:
    """Let the best release so far decide too, lest each release be a little worse.

    One that answers another question, or is to be had nowhere, is no reference any more.
    """
    best = releasing.best(paths, spec.champion.metric)
    if best is None or best.version in versions:
        return comparison
    name = f"the best release so far, {best.version} of {best.commit[:12]}"
    try:
        second = _compared(spec, paths, Rival(best.signature, best.commit, look))
    except (ComparisonError, ArtifactError) as error:
        notes = [*comparison["notes"], f"{name}, cannot be compared: {error}"]
        return {**comparison, "notes": notes}
    verdict, anchor = comparison["verdict"], second["verdict"]
    said = [f"beside {name}: {line}" for line in (*anchor["reasons"], *second["notes"])]
    decided: Comparison = {
        **comparison,
        "verdict": {
            "passed": verdict["passed"] and anchor["passed"],
            "reasons": [*verdict["reasons"], *said],
        },
        "best": second,
    }
    return decided


def _undecided(spec: ModelSpec, paths: Layout, error: TooFewRowsError) -> Answer:
    """Return what is declared for a contest that nothing can decide."""
    lets = spec.gate.undecided == "pass"
    word, what = ("may ship", "lets it") if lets else ("must not ship", "would let it")
    return Answer(
        lets,
        f"## {paths.name} {word}\n\n- whether it is worse cannot be told: {error}; "
        f"`undecided: pass` {what}",
    )


def _refusal(paths: Layout, error: Exception) -> Answer:
    return Answer(False, f"## {paths.name} cannot be compared\n\n- {error}")


def exported(paths: Layout) -> Signature:
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


@dataclass(frozen=True)
class Rival:
    """A model of an earlier commit, and what is said of the rows on which it is judged."""

    signature: str
    base: str
    look: int


def _compared(spec: ModelSpec, paths: Layout, rival: Rival) -> ComparedWith:
    """Judge the model here beside a rival on the test rows that the rival has not learnt from."""
    candidate = ArtifactStore(paths.model.parent, admitted=ADMITTED).load(paths.name)
    with tempfile.TemporaryDirectory() as folder:
        incumbent = fetched(paths, signature=rival.signature, base=rival.base, folder=Path(folder))
        check_classes(candidate.signature, incumbent.signature)
        test = read_frame(paths.test)
        seen = learnt(test, spec, paths, base=rival.base, incumbent=incumbent.signature)
        fresh = test[~seen.rows].reset_index(drop=True)
        predictions = {}
        if len(fresh):
            predictions[CANDIDATE] = _as_judged(candidate, paths, fresh)
            theirs = predicted(incumbent, fresh)
            predictions[INCUMBENT] = by_name(theirs, incumbent.signature, candidate.signature)
    classes = list(candidate.signature.classes) or None
    check_enough(encoded_target(fresh[spec.target.name], classes), classes, seen.words)
    comparison = contested(spec, fresh, predictions, classes=classes, look=rival.look)
    return {**comparison, "base": rival.base, "notes": [seen.words]}


def contested(
    spec: ModelSpec,
    rows: pd.DataFrame,
    predictions: Mapping[str, Prediction],
    *,
    classes: list[Any] | None,
    look: int = 1,
) -> Compared:
    """Judge predictions of candidate and incumbent for prepared rows, as the gate declares.

    `classes` are in the order of both predictions; `look` counts the contests at this incumbent.
    """
    truth = encoded_target(rows[spec.target.name], classes)
    gate = spec.gate
    return compare(
        truth,
        predictions,
        metrics=list(dict.fromkeys([spec.champion.metric, *spec.metrics])),
        rules=Rules(gate.may_drop_by, undecided=gate.undecided, look=look),
        units=Units.of(rows, spec.split),
    )


def check_enough(truth: NDArray[Any], classes: list[Any] | None, words: str) -> None:
    """Raise TooFewRowsError where what is left of the test rows can be judged by no metric.

    `truth` has shape (n_rows,), codes of `classes` or values; `words` say which rows were left out.
    """
    if len(truth) < 2:
        raise TooFewRowsError(f"{words}, so that {len(truth)} are left to compare by")
    lost = [] if classes is None else sorted({*range(len(classes))} - {*truth.tolist()})
    if classes is not None and lost:
        raise TooFewRowsError(
            f"{words}, and the {len(truth):,} that are left hold no row of class "
            f"{classes[lost[0]]!r}"
        )


def fetched(paths: Layout, *, signature: str, base: str, folder: Path) -> Model:
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


def _as_judged(model: Model, paths: Layout, test: pd.DataFrame) -> Prediction:
    """Return the prediction of the model here, as it was before it was fitted on test rows too."""
    learnt_from = model.signature.learnt
    if learnt_from is None or learnt_from.refit != "all":
        return predicted(model, test)
    training = json.loads(paths.training.read_text(encoding="utf-8"))
    judged = opened(paths.estimator, digests=training.get("digests", {}))
    return predict(judged, encoded(test, model.signature.features))


def predicted(model: Model, test: pd.DataFrame) -> Prediction:
    """Return what a model says of prepared rows; raises ComparisonError where it asks for others.

    `test` has a column for each feature, as preparation types them.
    """
    try:
        return model.runtime.predict(encoded(test, model.signature.features).to_numpy())
    except (KeyError, DataError) as error:
        raise ComparisonError(
            f"{model.signature.name} {model.signature.version} asks for {error}, which the test "
            "rows here do not have: the contract changed, so the two cannot be compared on one set "
            "of rows; a person must decide"
        ) from error
