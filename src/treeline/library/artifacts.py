"""An exported model → predictions for the rows of a frame, as `treeline score` gives them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from treeline.artifact.store import ArtifactStore, Model
from treeline.contract.features import Feature
from treeline.contract.signature import Signature
from treeline.errors import ArtifactRejectedError, DataError
from treeline.scoring.locally import BATCH_ROWS
from treeline.scoring.predicting import ERROR, check_keep, refuse, scored
from treeline.scoring.reading import check_columns, check_names
from treeline.tables import table_of

BadRows = Literal["refuse", "report"]
ONNX = frozenset({"onnx"})


@dataclass(frozen=True)
class Artifact:
    """A model as it is served: its signature, and what predicts."""

    model: Model

    @classmethod
    def load(cls, folder: str | Path, *, admit: Collection[str] = ONNX) -> Self:
        """Open an exported model such as `model/churn`, checked and tried as the service does.

        `admit` names the runtimes that may open it: `pickle` and `h2o` run code as they do, so that
        whoever made the model must be trusted. Raises ArtifactNotFoundError and
        ArtifactRejectedError.
        """
        folder = Path(folder).resolve()
        store = ArtifactStore(folder.parent, admitted=frozenset(admit))
        runtime = store.signature(folder.name).runtime
        if runtime not in admit:
            raise ArtifactRejectedError(
                f"{folder.name}: needs the {runtime} runtime, which runs code as it opens a model; "
                f"if you trust who made it: Artifact.load(..., admit=['{runtime}'])"
            )
        return cls(store.load(folder.name))

    @property
    def signature(self) -> Signature:
        """The contract of the model: what it admits and answers, its metrics and its origin."""
        return self.model.signature

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.signature.name

    @property
    def version(self) -> str:
        """The version, which each answer of the service names."""
        return self.signature.version

    @property
    def features(self) -> dict[str, Feature]:
        """What each feature admits, by name, in the order of the matrix."""
        return dict(self.signature.features)

    def predict(
        self, frame: pd.DataFrame, *, keep: Sequence[str] = (), bad_rows: BadRows = "refuse"
    ) -> pd.DataFrame:
        """Return a row of answers for each row of a frame, with its index.

        Columns are those kept, then `prediction`, the class or the value; `probability`, float32,
        of the positive class, or of several that of the predicted one and `probability_<class>` of
        each. Rows are admitted as the service admits them: those that are not raise a DataError
        which names row, column and value, or with `bad_rows="report"` have no prediction and the
        reason as `error`. Columns that are no features are let be.
        """
        check_frame(frame)
        features = self.signature.features
        table = table_of(frame.loc[:, frame.columns.isin([*features, *keep])])
        try:
            check_names(list(frame.columns), features, keep=tuple(keep))
            check_columns(table.schema, features, keep=tuple(keep))
            check_keep(keep, self.signature)
        except DataError as error:
            raise DataError(f"the frame: {error}") from None
        parts = []
        for start in range(0, max(1, len(frame)), BATCH_ROWS):
            part = pa.RecordBatch.from_struct_array(
                table.slice(start, BATCH_ROWS).to_struct_array().combine_chunks()
            )
            parts.append(scored(part, self.model, keep=keep, place=partial(_place, frame, start)))
        answers = pa.Table.from_batches(parts)
        errors, report = pc.drop_null(answers[ERROR]), bad_rows == "report"
        if len(errors) and not report:
            refuse(
                errors.slice(0, 5).to_pylist(),
                bad_rows=len(errors),
                rows=len(frame),
                way_out="correct them, or have the reasons as `error`: bad_rows='report'",
            )
        answers = answers if report else answers.drop_columns([ERROR])
        predicted: pd.DataFrame = answers.to_pandas()
        return predicted.set_axis(frame.index, axis=0)

    def __repr__(self) -> str:
        return f"<Artifact {self.name} {self.version}, {self.signature.runtime}>"


def _place(frame: pd.DataFrame, start: int, row: int) -> str:
    label: Any = frame.index[start + row]
    return f"row {label}"


def check_frame(given: object) -> None:
    """Raise DataError for what is no frame of pandas."""
    if not isinstance(given, pd.DataFrame):
        raise DataError(f"a {type(given).__name__} is no frame of pandas; give pandas.DataFrame(…)")
