"""The templates of released versions: what a file was, where no history of git has it any more.

`released` holds a JSON file for each version: its texts by path, before words are filled in. Lock
files, which are long and which nobody edits, are left out. `python -m treeline.scaffold.released`
writes the file of this version, when it is released.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from treeline import __version__
from treeline.files import write_text
from treeline.scaffold.contents import HERE, OF_A_TEMPLATE, SAME, THEIRS, Answers, current, filled
from treeline.scaffold.record import blob

FOLDER = HERE / "released"
LOCKED = "requirements/"


def versions(folder: Path = FOLDER) -> list[str]:
    """Return the versions that are on record."""
    return sorted(path.stem for path in folder.glob("*.json"))


def texts(version: str, folder: Path = FOLDER) -> dict[str, str]:
    """Return the texts of a version by path, before words are filled in."""
    document: dict[str, str] = json.loads((folder / f"{version}.json").read_text(encoding="utf-8"))
    return document


def as_released(digest: str, path: str, answers: Answers) -> bytes | None:
    """Return the file of a released version that has git's digest, None where none has it."""
    for version in versions():
        text = texts(version).get(path)
        if text is not None and blob(content := filled(text, answers).encode()) == digest:
            return content
    return None


def to_be_released() -> Mapping[str, str]:
    """Return the texts of this version."""
    paths = {*SAME, *OF_A_TEMPLATE} - THEIRS
    return {path: current(path) for path in sorted(paths) if not path.startswith(LOCKED)}


if __name__ == "__main__":
    text = json.dumps(to_be_released(), indent=1, ensure_ascii=False) + "\n"
    write_text(FOLDER / f"{__version__}.json", text)
    print(f"What treeline {__version__} writes is on record in {FOLDER}")
