"""Python source: a function by its import path → the tables that it gives."""

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from treeline.config.sources import PythonSource
from treeline.errors import DataError, SourceError, TreelineError
from treeline.registry import load_function
from treeline.tables import table_of

PLACE = "source.function"


class FunctionTables:
    """The rows of one function."""

    def __init__(self, spec: PythonSource) -> None:
        self._spec = spec

    def tables(self) -> Iterator[pa.Table]:
        """Yield what the function returns or yields; raises UnknownNameError and SourceError."""
        path = self._spec.function
        function = load_function(path, place=PLACE)
        try:
            for number, given in enumerate(_several(function(**self._spec.options)), start=1):
                yield _table(given, f"{PLACE}: {path}: part {number}")
        except TreelineError:
            raise
        except Exception as error:  # whatever a function of one's own raises
            raise SourceError(
                f"{PLACE}: {path} failed: {type(error).__name__}: {str(error).strip()}"
            ) from error


def _several(given: Any) -> Iterable[Any]:
    """Return what a function gave as parts: a frame and a table are one."""
    whole = isinstance(given, pa.Table) or hasattr(given, "columns")
    return [given] if whole or not isinstance(given, Iterable) else given


def _table(given: Any, place: str) -> pa.Table:
    if isinstance(given, pa.Table):
        return given.replace_schema_metadata()
    if not hasattr(given, "columns"):
        raise SourceError(
            f"{place} is a {type(given).__name__}; give a frame of pandas or a table of Arrow"
        )
    try:
        return table_of(given)
    except DataError as error:
        raise SourceError(f"{place}: {error}") from None
