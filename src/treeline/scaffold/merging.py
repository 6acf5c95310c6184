"""A repository of models and the files of another version → what becomes of each file.

What its owner has not edited is replaced. What both have changed is merged by git, from the file
as it was written; where that is to be had nowhere, the owner's stays, and the new one is put beside
it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from treeline.delivery.processes import attempt
from treeline.errors import ScaffoldError
from treeline.scaffold.contents import THEIRS
from treeline.scaffold.record import Record, blob

Kind = Literal["new", "updated", "merged", "conflict", "beside", "removed", "left"]
SAID: Mapping[Kind, str] = {
    "new": "is new",
    "updated": "is brought up to date; it was not edited",
    "merged": "is merged with your edits",
    "conflict": "CONFLICT: your edits and the new version touch the same lines, which are marked",
    "beside": "CONFLICT: is edited, and what it was is to be had nowhere: yours stays, and the new "
    "version is beside it as {path}.new",
    "removed": "is removed; this version has no such file, and it was not edited",
    "left": "is edited and stays; this version has no such file",
}
BROKEN: frozenset[Kind] = frozenset({"conflict", "beside"})
BESIDE = ".new"
MOST_CONFLICTS = 127  # beyond it, git's exit code is that of an error


@dataclass(frozen=True)
class Change:
    """What becomes of a file; `content` is to be written, None where it is removed or stays."""

    path: str
    kind: Kind
    content: bytes | None = None

    def __str__(self) -> str:
        """Say it in a line."""
        return f"{self.path}: {SAID[self.kind].format(path=self.path)}"


@dataclass(frozen=True)
class Sides:
    """A file as it is here, as this version writes it, and the digest it was written with."""

    path: str
    mine: bytes | None
    theirs: bytes | None
    before: str | None


def changes(
    record: Record,
    files: Mapping[str, bytes],
    *,
    root: Path,
    former: Callable[[str, str], bytes | None],
    version: str,
) -> list[Change]:
    """Return what becomes of the files of a repository; those that stay as they are are not named.

    `former` returns a file as it was written, by its digest and its path, or None. Nothing is
    written. Raises ScaffoldError where git cannot merge.
    """
    listed: list[Change] = []
    for path in sorted({*record.files, *files} - THEIRS):
        place = root / path
        mine = place.read_bytes() if place.is_file() else None
        sides = Sides(path, mine, files.get(path), record.files.get(path))
        kind = _kind(sides)
        if kind in ("new", "updated"):
            listed.append(Change(path, kind, sides.theirs))
        elif kind == "merged":
            assert sides.before is not None  # what was never written is not merged
            base = former(sides.before, path)
            listed.append(_merged(sides, base, names=(record.version, version)))
        elif kind is not None:
            listed.append(Change(path, kind, sides.theirs))
    return listed


def _kind(sides: Sides) -> Kind | None:
    """Return what becomes of a file, None where it stays; `merged` is what is to be tried."""
    mine = None if sides.mine is None else blob(sides.mine)
    theirs = None if sides.theirs is None else blob(sides.theirs)
    if mine is None:  # without an entry it was never here; with one its owner has removed it
        return "new" if sides.before is None else None
    if mine == theirs:
        return None
    if theirs is None:
        return "removed" if mine == sides.before else "left"
    if sides.before is None:
        return "beside"
    unchanged: dict[str, Kind | None] = {mine: "updated", theirs: None}
    return unchanged.get(sides.before, "merged")


def _merged(sides: Sides, base: bytes | None, *, names: tuple[str, str]) -> Change:
    assert sides.mine is not None and sides.theirs is not None  # there are two to merge
    if base is None:
        return Change(sides.path, "beside", sides.theirs)
    with TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("mine", "base", "theirs")]
        for file, content in zip(files, (sides.mine, base, sides.theirs), strict=True):
            file.write_bytes(content)
        labels = ("yours", f"treeline {names[0]}", f"treeline {names[1]}")
        named = [word for label in labels for word in ("-L", label)]
        done = attempt("git", "merge-file", *named, *map(str, files))
        if done.returncode < 0 or done.returncode > MOST_CONFLICTS:
            raise ScaffoldError(f"{sides.path}: git cannot merge it: {done.stderr.strip()}")
        return Change(
            sides.path, "conflict" if done.returncode else "merged", files[0].read_bytes()
        )
