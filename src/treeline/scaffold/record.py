"""`treeline.toml`: what a repository of models was made from, and which files were written how.

A file that has another digest than its entry has been edited since. The digest is git's, by which
git finds the file as it was, wherever it was committed.
"""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from treeline.errors import ScaffoldError
from treeline.scaffold.contents import EXAMPLES, RECORD, Answers

HEADER = """\
# What made this repository: `treeline upgrade` reads it, and writes it anew. Beside each file is
# git's digest of it as it was written; what differs by now is yours, and is merged.
"""


@dataclass(frozen=True)
class Record:
    """The version of Treeline that a repository is for, its answers, and its files by digest."""

    version: str
    answers: Answers
    files: Mapping[str, str] = field(default_factory=dict)

    def to_text(self) -> str:
        """Return it as TOML."""
        locks = ", ".join(f'"{each}"' for each in self.answers.locks)
        lines = [
            f'version = "{self.version}"',
            f'name = "{self.answers.name}"',
            f'example = "{self.answers.example}"',
            f"with = [{locks}]",
            "",
            "[files]",
            *(f'"{path}" = "{digest}"' for path, digest in sorted(self.files.items())),
        ]
        return HEADER + "\n".join(lines) + "\n"


def read_record(root: Path) -> Record:
    """Read the record of a repository; raises ScaffoldError."""
    place = root / RECORD
    try:
        document = tomllib.loads(place.read_text(encoding="utf-8"))
        answers = Answers(document["name"], document["example"], tuple(document["with"]))
        record = Record(document["version"], answers, dict(document["files"]))
    except FileNotFoundError:
        raise ScaffoldError(
            f"{place}: not found; run this from the root of a repository of models (treeline new)"
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        raise ScaffoldError(f"{place}: cannot be read ({error}); git checkout {RECORD}") from None
    if answers.example not in EXAMPLES:
        raise ScaffoldError(
            f"{place}: example {answers.example!r} is none of {', '.join(EXAMPLES)}"
        )
    return record


def blob(content: bytes) -> str:
    """Return git's digest of a file (SHA-1 over its length and its bytes)."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
