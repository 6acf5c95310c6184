"""Library source: a data set bundled with scikit-learn → one table. Nothing is downloaded."""

from collections.abc import Iterator

import pandas as pd
import pyarrow as pa

from treeline.config.sources import LibrarySource
from treeline.errors import SourceError
from treeline.registry import resolve

DATASETS = {
    "breast_cancer": "sklearn.datasets:load_breast_cancer",
    "diabetes": "sklearn.datasets:load_diabetes",
    "digits": "sklearn.datasets:load_digits",
    "iris": "sklearn.datasets:load_iris",
    "wine": "sklearn.datasets:load_wine",
}


class LibraryTables:
    """The rows of one bundled data set: its features and `target`."""

    def __init__(self, spec: LibrarySource) -> None:
        self._spec = spec

    def tables(self) -> Iterator[pa.Table]:
        """Yield the one table; raises UnknownNameError and SourceError."""
        load = resolve(DATASETS, self._spec.dataset, place="source.dataset")
        bundle = load(as_frame=True)
        frame: pd.DataFrame = bundle.frame
        if self._spec.labels is not None:
            if not hasattr(bundle, "target_names"):
                raise SourceError(
                    f"source.labels: {self._spec.dataset!r} is no data set of classes, so it has "
                    "no labels; remove the key"
                )
            names = dict(enumerate(map(str, bundle.target_names)))
            frame = frame.assign(**{self._spec.labels: frame["target"].map(names)})
        yield pa.Table.from_pandas(frame, preserve_index=False)
