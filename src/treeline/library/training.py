"""A declared model and rows → prepared rows, a champion, its judgement, an artifact.

Each step runs the function of its stage on a folder of its own, which goes with the object that
stands for it; nothing in `dataset/` or `model/` is read or changed.
"""

import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from weakref import finalize

import pandas as pd

import treeline
from treeline.artifact.pickled import opened
from treeline.config import Layout
from treeline.contract.signature import Signature, Verdict
from treeline.errors import ConfigError, ExportError, GateError
from treeline.files import replacing_folder, write_json
from treeline.library.artifacts import Artifact, check_frame
from treeline.library.declarations import Declaration
from treeline.records.evaluation import Evaluation, read_evaluation
from treeline.records.summary import Summary, read_summary
from treeline.records.training import Training, read_training
from treeline.stages import collect as collecting
from treeline.stages import evaluate as evaluating
from treeline.stages import export as exporting
from treeline.stages import gate as judging
from treeline.stages import prepare as preparing
from treeline.stages import train as fitting
from treeline.stages.dependencies import IGNORES, stage_inputs
from treeline.stages.modules import read_modules
from treeline.tables import read_frame, table_of

# Keys that change nothing of prepared rows, so that one split can be learnt from in several ways.
AFTER_PREPARING = frozenset(IGNORES["prepare"])


@dataclass(frozen=True)
class Place(Layout):
    """The files of one model whose rows lie in another folder than what is made of them."""

    rows: Path = Path()

    @property
    def dataset(self) -> Path:
        """The folder of collected and prepared rows."""
        return self.rows


class Step:
    """What a step made, in a folder that is removed with the last object that needs it."""

    def __init__(self, declared: Declaration, rows: Path | None, needed: object = None) -> None:
        self.declared = declared
        self._needed = needed
        folder = Path(mkdtemp(prefix=f"treeline-{declared.name}-"))
        finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.paths = Place(declared.name, folder, rows or folder / "dataset" / declared.name)


class Prepared(Step):
    """Checked, filled and split rows."""

    @cached_property
    def train(self) -> pd.DataFrame:
        """The rows to learn from, a column for each that is declared."""
        return read_frame(self.paths.train)

    @cached_property
    def test(self) -> pd.DataFrame:
        """The rows kept for the test, with the same columns."""
        return read_frame(self.paths.test)

    @cached_property
    def summary(self) -> Summary:
        """What preparation saw and did: counts, missing values, classes, groups, leaks."""
        return read_summary(self.paths.summary)

    def __repr__(self) -> str:
        rows = self.summary["rows"]
        return (
            f"<Prepared {self.declared.name}: {rows['train']:,} rows to learn from, "
            f"{rows['test']:,} for the test>"
        )


class Trained(Step):
    """The candidates after their contest, and the champion."""

    def __init__(self, declared: Declaration, prepared: Prepared) -> None:
        super().__init__(declared, prepared.paths.rows, prepared)
        self.prepared = prepared

    @cached_property
    def record(self) -> Training:
        """What each candidate reached on each fold, with every setting that was tried."""
        return read_training(self.paths.training)

    @property
    def champion(self) -> str:
        """The name of the candidate that won."""
        return self.record["champion"]

    @cached_property
    def candidates(self) -> pd.DataFrame:
        """A row for each candidate: mean and deviation of each metric over the folds."""
        return pd.read_csv(self.paths.candidates).set_index("candidate")

    @cached_property
    def estimator(self) -> Any:
        """The champion, fitted on the training rows: takes float32 codes (n_rows, n_features)."""
        return opened(self.paths.estimator, digests=self.record.get("digests", {}))

    def __repr__(self) -> str:
        return f"<Trained {self.declared.name}: champion is {self.champion}>"


class Evaluated:
    """What the champion is worth on the test rows, and whether the gate lets it pass."""

    def __init__(self, trained: Trained) -> None:
        self.trained = trained

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The champion's metrics on the test rows."""
        metrics: dict[str, float] = json.loads(self.trained.paths.metrics.read_bytes())
        return metrics

    @cached_property
    def evaluation(self) -> Evaluation:
        """Champion and baseline with intervals, importances, slices, thresholds, calibration."""
        return read_evaluation(self.trained.paths.evaluation)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """The truth, the prediction and the scores of each test row, in order."""
        return read_frame(self.trained.paths.predictions)

    @cached_property
    def verdict(self) -> Verdict:
        """What the gate decided, and why."""
        return Verdict.model_validate_json(self.trained.paths.verdict.read_bytes())

    @property
    def passed(self) -> bool:
        """Whether the gate lets it pass."""
        return self.verdict.passed

    @cached_property
    def report(self) -> str:
        """The report of the training, in Markdown."""
        return self.trained.paths.report.read_text(encoding="utf-8")

    def export(self, folder: str | Path, *, default: bool = False) -> Artifact:
        """Write what passed the gate to `folder/<name>`, and return it as it is served.

        `folder` can hold several models; a service whose API_MODEL_DIR it is serves them. `default`
        says whether the model answers where a request names none. Raises ExportError.
        """
        spec, paths = self.trained.declared.spec, self.trained.paths
        target = Path(folder) / paths.name
        written = {paths.artifact.name, paths.signature.name, paths.card.name}
        if target.exists() and (others := {path.name for path in target.iterdir()} - written):
            raise ExportError(
                f"{target}: holds {min(others)}, which no export of the library wrote and which "
                "would be lost; give another folder"
            )
        modules = read_modules(Path(treeline.__file__).parent)
        inputs = stage_inputs(spec, modules, default=default)
        write_json(paths.inputs / "export.json", inputs["export"])
        exporting.exported(spec, paths, default=default)
        with replacing_folder(target) as draft:
            shutil.copytree(paths.artifact, draft / paths.artifact.name)
            for path in (paths.signature, paths.card):
                shutil.copyfile(path, draft / path.name)
        runtime = Signature.read(paths.signature).runtime
        return Artifact.load(target, admit=[runtime])

    def _repr_markdown_(self) -> str:
        return self.report

    def __repr__(self) -> str:
        word = "passed" if self.passed else "refused"
        reasons = "; ".join(self.verdict.reasons)
        return f"<Evaluated {self.trained.declared.name}: {word}: {reasons}>"


def collect(declared: Declaration) -> pd.DataFrame:
    """Return the rows of the declared source, with every column that it has.

    Paths are those from the working directory, the root of the repository. Raises SourceError.
    """
    step = Step(declared, None)
    collecting.collect(declared.spec, step.paths)
    return read_frame(step.paths.raw)


def prepare(declared: Declaration, frame: pd.DataFrame | None = None) -> Prepared:
    """Check, fill and split rows as declared: those of a frame, or of the declared source.

    `frame` has a row for each that was collected, of any index, and any columns besides the
    declared ones. Raises DataError, which names column, row and value of each fault.
    """
    prepared = Prepared(declared, None)
    if frame is None:
        collecting.collect(declared.spec, prepared.paths)
    else:
        place = f"the frame for {declared.name}"
        check_frame(frame)
        collecting.collected([table_of(frame)], prepared.paths, place=place)
    preparing.prepare(declared.spec, prepared.paths)
    return prepared


def train(prepared: Prepared, **changes: Any) -> Trained:
    """Let the candidates compete inside the training rows.

    `changes` are other values of keys that leave the rows as they are, such as `candidates`,
    `search` and `champion`. Raises ConfigError and TrainingError.
    """
    if early := sorted(set(changes) - AFTER_PREPARING):
        raise ConfigError(
            f"{early[0]}: changes the prepared rows, or is no key of a model; prepare them again: "
            f"prepare(declared.changed({early[0]}=...), frame)"
        )
    declared = prepared.declared.changed(**changes) if changes else prepared.declared
    trained = Trained(declared, prepared)
    fitting.train(declared.spec, trained.paths)
    return trained


def evaluate(trained: Trained) -> Evaluated:
    """Judge champion and baseline on the test rows, and ask the gate, which may refuse."""
    spec, paths = trained.declared.spec, trained.paths
    evaluating.evaluate(spec, paths)
    try:
        judging.gate(spec, paths)
    except GateError:
        if not paths.verdict.is_file():
            raise
    return Evaluated(trained)
