"""A repository of models → the files of the Treeline that is installed, with its owner's edits.

Nothing is written beside uncommitted work, so that git has everything as it was.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from treeline import __version__
from treeline.delivery.processes import attempt, run
from treeline.errors import ScaffoldError
from treeline.files import write_text
from treeline.scaffold.contents import LOCKS, RECORD, contents
from treeline.scaffold.merging import BESIDE, BROKEN, Change, changes
from treeline.scaffold.origin import framework
from treeline.scaffold.record import Record, blob, read_record
from treeline.scaffold.released import as_released
from treeline.scaffold.writing import recorded, write_files

LIBRARIES = "requirements/train.txt"  # which the stages `train` and `export` follow
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)
NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True)
class Upgrade:
    """What an upgrade does: from which version, to which record, by which changes."""

    before: str
    record: Record
    changes: Sequence[Change]
    libraries: Sequence[str]

    @property
    def broken(self) -> list[str]:
        """The files that a person must look at."""
        return [each.path for each in self.changes if each.kind in BROKEN]

    @property
    def is_due(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.changes) or self.before != self.record.version

    def to_text(self) -> str:
        """Say it, a line for each file."""
        if not self.is_due:
            return f"Everything is as treeline {self.before} writes it"
        lines = [f"From treeline {self.before} to {self.record.version}:"]
        return "\n".join([*lines, *(f"  {change}" for change in self.changes)])


def planned(*, source: str | None = None, locks: Sequence[str] = ()) -> Upgrade:
    """Return what brings this repository to the installed version; nothing is written.

    `source` is where the framework is to be installed from, None where this one is from; `locks`
    are further lock files. Raises ScaffoldError where this is no repository of models, or one of a
    later version.
    """
    root = Path()
    before = read_record(root)
    if _rank(before.version) > _rank(__version__):
        raise ScaffoldError(
            f"{RECORD}: names treeline {before.version}, and {__version__} is installed, which is "
            "older; install the other: make setup"
        )
    answers = replace(before.answers, locks=tuple(sorted({*before.answers.locks, *locks})))
    if unknown := set(answers.locks) - set(LOCKS):
        raise ScaffoldError(f"{RECORD}: with {min(unknown)!r} is none of {', '.join(LOCKS)}")
    files = contents(answers) | framework(source)

    def former(digest: str, path: str) -> bytes | None:
        return _committed(digest) or as_released(digest, path, before.answers)

    return Upgrade(
        before=before.version,
        record=recorded(__version__, answers, files),
        changes=changes(before, files, root=root, former=former, version=__version__),
        libraries=_pins_that_differ(root / LIBRARIES, files[LIBRARIES]),
    )


def upgrade(plan: Upgrade) -> None:
    """Write what is planned. Raises ScaffoldError, and writes nothing, beside uncommitted work."""
    status = run("git", "status", "--porcelain", "--", ".")
    if status:
        named = ", ".join(line[3:] for line in status.splitlines()[:3])
        raise ScaffoldError(
            f"{named}: not committed; commit, or git stash --include-untracked, so that git has "
            "everything as it was"
        )
    root = Path()
    beside = {f"{each.path}{BESIDE}" for each in plan.changes if each.kind == "beside"}
    if there := sorted(path for path in beside if (root / path).exists()):
        raise ScaffoldError(
            f"{there[0]}: is there from an earlier upgrade; merge it, and remove it"
        )
    for each in plan.changes:
        if each.kind == "removed":
            (root / each.path).unlink()
        elif each.content is not None:
            suffix = BESIDE if each.kind == "beside" else ""
            write_files(root, {each.path + suffix: each.content})
    write_text(root / RECORD, plan.record.to_text())


def _rank(version: str) -> tuple[list[int], bool]:
    """Return what orders versions: its numbers, and a final one behind those that lead to it."""
    release, _, rest = version.partition(".dev")
    return list(map(int, NUMBERS.findall(release))), not rest


def _committed(digest: str) -> bytes | None:
    """Return a file as it was written, if it was ever committed in that state."""
    content = attempt("git", "cat-file", "blob", digest).stdout.encode()
    return content if blob(content) == digest else None


def _pins_that_differ(path: Path, content: bytes) -> list[str]:
    """Return which packages have another version: `numpy 2.4.5 → 2.4.6`."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    then, now = dict(PIN.findall(text)), dict(PIN.findall(content.decode()))
    return [
        f"{name} {then.get(name, '(none)')} → {now.get(name, '(none)')}"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]
