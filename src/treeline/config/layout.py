"""Every path of the pipeline, once: which stage writes what, and where."""

from dataclasses import dataclass
from pathlib import Path

PARAMS = Path("params.yaml")
SOURCES = Path("dataset/sources")
CODE = Path("model/code.json")  # what each module of this package does and reaches, as digests
INPUTS = Path("model/inputs")  # what each stage of each model follows


@dataclass(frozen=True)
class Layout:
    """The files of one model, below the root of the repository."""

    name: str
    root: Path = Path()

    @property
    def dataset(self) -> Path:
        """The folder of collected and prepared rows."""
        return self.root / "dataset" / self.name

    @property
    def model(self) -> Path:
        """The folder of everything made from those rows."""
        return self.root / "model" / self.name

    @property
    def raw(self) -> Path:
        """Rows as collected: every column the source has."""
        return self.dataset / "raw.parquet"

    @property
    def train(self) -> Path:
        """Prepared rows to learn from."""
        return self.dataset / "train.parquet"

    @property
    def test(self) -> Path:
        """Prepared rows kept for the test."""
        return self.dataset / "test.parquet"

    @property
    def summary(self) -> Path:
        """What preparation saw and did: counts, missing values, classes, groups."""
        return self.dataset / "summary.json"

    @property
    def inputs(self) -> Path:
        """A file per stage: what of the declaration and of the code the stage follows."""
        return self.root / INPUTS / self.name

    @property
    def estimator(self) -> Path:
        """The fitted champion pipeline."""
        return self.model / "model.pkl"

    @property
    def baseline(self) -> Path:
        """The fitted baseline pipeline."""
        return self.model / "baseline.pkl"

    @property
    def candidates(self) -> Path:
        """The table of candidates: mean and deviation of each metric over the folds."""
        return self.model / "candidates.csv"

    @property
    def training(self) -> Path:
        """The record of training: champion, settings chosen, folds and trials of each candidate."""
        return self.model / "training.json"

    @property
    def seconds(self) -> Path:
        """Seconds that each candidate took; not versioned, for they differ from run to run."""
        return self.model / "seconds.json"

    @property
    def metrics(self) -> Path:
        """The champion's metrics on the test split."""
        return self.model / "metrics.json"

    @property
    def evaluation(self) -> Path:
        """Champion and baseline on the test split, with intervals and importances."""
        return self.model / "evaluation.json"

    @property
    def predictions(self) -> Path:
        """The champion's prediction for every test row."""
        return self.model / "predictions.parquet"

    @property
    def plots(self) -> Path:
        """Curves as CSV, for DVC."""
        return self.model / "plots"

    @property
    def images(self) -> Path:
        """The same as pictures."""
        return self.model / "images"

    @property
    def verdict(self) -> Path:
        """What the gate decided, and why."""
        return self.model / "verdict.json"

    @property
    def artifact(self) -> Path:
        """The folder of what is served: `model.onnx`, or `model.pkl` if it cannot be converted."""
        return self.model / "artifact"

    @property
    def signature(self) -> Path:
        """The contract, committed to git."""
        return self.model / "signature.json"

    @property
    def card(self) -> Path:
        """The model card."""
        return self.model / "card.md"

    @property
    def report(self) -> Path:
        """The report of this training."""
        return self.model / "report.md"

    @property
    def comparison(self) -> Path:
        """The comparison with an incumbent; not versioned, for it depends on the revision asked."""
        return self.model / "comparison.json"
