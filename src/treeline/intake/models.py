"""A file or an address → a fitted model, with the columns that it takes and the classes it knows.

skops says of each type in a file whether it is trusted, before anything is built; a pickle or an
MLflow model runs code as it is opened, and is opened only where a person says so.
"""

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import pandas as pd

from treeline.artifact import Prediction
from treeline.contract.texts import text_of
from treeline.errors import ArtifactRejectedError
from treeline.intake import Said
from treeline.registry import resolve

READERS = {
    ".cbm": "treeline.intake.catboost_models:read_catboost",
    ".joblib": "treeline.intake.models:read_joblib",
    ".json": "treeline.intake.boosters:read_xgboost",
    ".onnx": "treeline.intake.networks:read_onnx",
    ".pickle": "treeline.intake.models:read_pickle",
    ".pkl": "treeline.intake.models:read_pickle",
    ".skops": "treeline.intake.safe:read_skops",
    ".txt": "treeline.intake.lightgbm_models:read_lightgbm",
    ".ubj": "treeline.intake.boosters:read_xgboost",
    "mlflow": "treeline.intake.tracked:read_mlflow",
}
EXTRAS = {".cbm": "import", ".skops": "import", ".txt": "import", "mlflow": "mlflow"}
SCHEMES = ("models:/", "runs:/", "mlflow-artifacts:/")


class Model(Protocol):
    """A fitted model as it came."""

    @property
    def made(self) -> str:
        """What it is, as an import path, or another name."""

    @property
    def names(self) -> tuple[str, ...] | None:
        """The columns that it takes, in its order; None where it does not say."""

    @property
    def classes(self) -> tuple[Any, ...] | None:
        """Its classes in the order of its probabilities; none of a regression, None if unknown."""

    def predict(self, frame: pd.DataFrame) -> Prediction:
        """Answer a frame; labels are values of its classes, scores are in their order."""

    def graph(self, inputs: Sequence[tuple[str, str]]) -> onnx.ModelProto:
        """Return its graph; an input is a name and what it holds, `text` or `number`.

        The graph has one input of all columns, or one of shape (n_rows, 1) for each; its labels
        are positions in the classes. Raises ExportError.
        """


def read_model(place: str, said: Said) -> Model:
    """Open a model: a file, a folder of MLflow or an address. Raises ArtifactRejectedError."""
    path = Path(place)
    kind = path.suffix.lower()
    if place.startswith(SCHEMES) or (path / "MLmodel").is_file():
        kind = "mlflow"
    elif kind not in READERS:
        raise ArtifactRejectedError(
            f"{place}: what it is does not follow from its name; give a file that ends with one of "
            f"{', '.join(sorted(each for each in READERS if each[0] == '.'))}, or an address of "
            "MLflow such as models:/churn/1"
        )
    elif not path.is_file():
        raise ArtifactRejectedError(f"{place}: not a file")
    read: Callable[[str, Said], Model] = resolve(READERS, kind, place=place, extra=EXTRAS.get(kind))
    model = read(place, said)
    if said.classes and isinstance(model, FittedModel):
        return replace(model, called=called(place, said, model.classes or ()))
    return model


def called(place: str, said: Said, known: Sequence[Any]) -> tuple[Any, ...]:
    """Return the names of a model's classes: those that a person says, or else its own.

    Raises ArtifactRejectedError for another number of them, or another order.
    """
    if not said.classes:
        return tuple(known)
    texts = tuple(map(_class_text, known))
    turned = set(texts) == set(said.classes) and texts != said.classes
    if turned or len(known) != len(said.classes):
        raise ArtifactRejectedError(
            f"{place}: --classes {','.join(said.classes)}: the model has {len(known)} classes, in "
            f"this order: {', '.join(map(repr, known))}"
        )
    return said.classes


def refuse_code(place: str, said: Said) -> None:
    """Raise ArtifactRejectedError unless a person trusts what runs code as it is opened."""
    if not said.trust:
        raise ArtifactRejectedError(
            f"{place}: opening it runs the code that is in it; if you trust who made it, say "
            "--trust, or save it with skops"
        )


def read_pickle(place: str, said: Said) -> Model:
    """Open a pickle; raises ArtifactRejectedError."""
    refuse_code(place, said)
    return opened(place, lambda: pickle.loads(Path(place).read_bytes()))


def read_joblib(place: str, said: Said) -> Model:
    """Open a file of joblib, which scikit-learn brings; raises ArtifactRejectedError."""
    refuse_code(place, said)
    load: Callable[[str], object] = resolve(LOADERS, "joblib", place=place, extra="train")
    return opened(place, lambda: load(place))


LOADERS = {"joblib": "joblib:load"}


def opened(place: str, load: Callable[[], object]) -> "FittedModel":
    """Return the estimator that a file holds; raises ArtifactRejectedError."""
    try:
        estimator = load()
    except Exception as error:  # a pickle can raise anything that its classes raise
        raise ArtifactRejectedError(
            f"{place}: cannot be opened: {type(error).__name__}: {error}; it needs the libraries "
            "that it was saved with"
        ) from error
    if not callable(getattr(estimator, "predict", None)):
        raise ArtifactRejectedError(
            f"{place}: holds a {type(estimator).__name__}, which predicts nothing; save the fitted "
            "pipeline"
        )
    return FittedModel(estimator)


@dataclass(frozen=True)
class FittedModel:
    """An estimator with scikit-learn's `predict`; `called` are names of its classes, if any."""

    estimator: Any
    called: tuple[str, ...] = ()

    @property
    def made(self) -> str:
        """The class of its last step."""
        last = self.estimator.steps[-1][1] if hasattr(self.estimator, "steps") else self.estimator
        public = [part for part in type(last).__module__.split(".") if not part.startswith("_")]
        return ".".join([*public, type(last).__qualname__])

    @property
    def names(self) -> tuple[str, ...] | None:
        """The columns of the frame that it was fitted on."""
        names = getattr(self.estimator, "feature_names_in_", None)
        return None if names is None else tuple(map(str, names))

    @property
    def classes(self) -> tuple[Any, ...] | None:
        """Its classes, by the names that a person gave them, if any."""
        return self.called or self._own_classes

    @property
    def _own_classes(self) -> tuple[Any, ...]:
        classes = getattr(self.estimator, "classes_", ())
        return tuple(each.item() if isinstance(each, np.generic) else each for each in classes)

    def predict(self, frame: pd.DataFrame) -> Prediction:
        """Answer a frame, or its matrix where it was fitted on one."""
        given = frame if self.names is not None else frame.to_numpy()
        answers = np.asarray(self.estimator.predict(given)).reshape(-1)
        if not self.classes:
            return Prediction(values=answers)
        if self.called:
            places = {own: place for place, own in enumerate(self._own_classes)}
            answers = np.array([self.called[places[each]] for each in answers.tolist()])
        scores = None
        if hasattr(self.estimator, "predict_proba"):
            scores = np.asarray(self.estimator.predict_proba(given))
        return Prediction(labels=answers, scores=scores)

    def graph(self, inputs: Sequence[tuple[str, str]]) -> onnx.ModelProto:
        """Return its graph by the converters of the export; raises ExportError."""
        convert: Callable[..., onnx.ModelProto] = resolve(
            CONVERTERS, "sklearn", place=self.made, extra="train"
        )
        return convert(self.estimator, inputs, self._own_classes)


CONVERTERS = {"sklearn": "treeline.intake.converting:converted"}


def place_of(value: Any, classes: Sequence[Any]) -> int | None:
    """Return where a class stands among others, by its text: 1 is 1.0 and "1"; None if nowhere."""
    texts = [_class_text(each) for each in classes]
    text = _class_text(value)
    return texts.index(text) if text in texts else None


def _class_text(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return text_of(int(value) if whole else value)
