"""A JSON file of a stage → its content, checked against the keys that its readers rely on."""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from treeline.config.problems import problems
from treeline.errors import RecordError

T = TypeVar("T")


def read_record(path: Path, kind: type[T]) -> T:
    """Return the content of a file as it is, if it has the keys and types of `kind`.

    Keys that `kind` does not name are left as they are. Raises FileNotFoundError, and RecordError,
    which names the file and the first key that does not hold.
    """
    try:
        document: T = json.loads(path.read_text(encoding="utf-8"))
        TypeAdapter(kind).validate_python(document, strict=True)
    except ValidationError as error:
        raise RecordError(f"{path}: {_problem(error, document)}; {_WAY_OUT}") from None
    except ValueError as error:
        raise RecordError(f"{path}: no JSON: {error}; {_WAY_OUT}") from error
    return document


_WAY_OUT = "no stage writes it so: fetch it again (dvc checkout), or make it anew (make repro)"


def _problem(error: ValidationError, document: Any) -> str:
    return problems(error, document)[0].removesuffix("; add it")
