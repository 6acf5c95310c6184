"""What one command of a run leaves for the next: small JSON files below build/run, not in git."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from treeline.errors import TreelineError
from treeline.files import write_json

FOLDER = Path("build/run")
REPRODUCED = FOLDER / "reproduced.json"  # what failed while the pipeline ran, and who was left out
COMPARED = FOLDER / "compared.json"  # with which commit, and which models may ship
PUBLISHED = FOLDER / "published.json"  # what was written back to git
MONITORED = FOLDER / "monitored.json"  # which models were looked at, or why the log was not read
ERROR = FOLDER / "error.json"  # which command ended the run with an error, and which
REPORT = FOLDER / "report.md"


def clear() -> None:
    """Remove the notes of an earlier run."""
    for path in (REPRODUCED, COMPARED, PUBLISHED, MONITORED, ERROR, REPORT):
        path.unlink(missing_ok=True)


def write(path: Path, document: Any) -> None:
    """Write a note, whole."""
    write_json(path, document)


def read(path: Path) -> dict[str, Any]:
    """Return a note; an empty one where the command that leaves it did not come so far."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


@contextmanager
def recording_error(command: str) -> Iterator[None]:
    """Leave a note of the error that ends a command, and raise it on."""
    try:
        yield
    except TreelineError as error:
        write(ERROR, {"command": command, "message": str(error)})
        raise
