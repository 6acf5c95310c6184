"""`python -m api.backup save > FILE` and `… restore < FILE`: what a service keeps, in one archive.

It may be saved while the service runs. In the archive (tar) are the predictions that wait for the
database, those that no database takes, the uploaded models, what was unloaded, and the prediction
log where it is SQLite. A log in PostgreSQL is saved by that server's own dump.
"""

import argparse
import os
import shutil
import sqlite3
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from api.prediction_log.addresses import FILE, check_file
from api.private import keep_private
from api.settings import Settings
from treeline.errors import ConfigError

# In this order: a prediction that reaches the database meanwhile is in the archive twice, and
# replayed once; the other way round it would be in neither.
SAVED_FILES = ("spool/*", "refused-*", "unloaded", "unloaded/**/*", "uploads/**/*")
PREFIX = ".backup-"


def save(state_dir: Path, stream: BinaryIO) -> int:
    """Write the archive of a state folder to a stream, and return how many files it holds.

    Raises ConfigError where the folder is none, and OSError.
    """
    if not state_dir.is_dir():
        raise ConfigError(f"{state_dir}: no such folder; API_STATE_DIR says where the service's is")
    with tarfile.open(fileobj=stream, mode="w|") as archive:
        count = sum(_add(archive, path, state_dir) for path in _saved_files(state_dir))
        if (state_dir / FILE).exists():
            with _copied(state_dir / FILE) as copy:
                archive.add(copy, arcname=FILE)
            count += 1
    return count


def restore(state_dir: Path, stream: BinaryIO) -> int:
    """Put an archive into a state folder that holds nothing of what is in it; return its files.

    Raises ConfigError, and then nothing has changed.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    draft = state_dir / f"{PREFIX}{uuid4().hex}"
    draft.mkdir()
    try:
        try:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                archive.extractall(draft, filter="data")
        except tarfile.TarError as error:
            raise ConfigError(f"the archive cannot be read to its end: {error}") from error
        files = [path for path in draft.rglob("*") if path.is_file()]
        if not files:
            raise ConfigError("the archive is empty: nothing was given on standard input")
        check_file(draft / FILE)
        _put(draft, state_dir)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return len(files)


def _saved_files(state_dir: Path) -> Iterator[Path]:
    for pattern in SAVED_FILES:
        for path in sorted(state_dir.glob(pattern)):
            if path.is_file() and not path.name.startswith("."):  # drafts
                yield path


def _add(archive: tarfile.TarFile, path: Path, state_dir: Path) -> int:
    """Add a file as long as it is now; it may grow meanwhile, and may be gone."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return 0
    with file:
        entry = archive.gettarinfo(arcname=str(path.relative_to(state_dir)), fileobj=file)
        archive.addfile(entry, file)
    return 1


@contextmanager
def _copied(database: Path) -> Iterator[Path]:
    """Yield a copy of a database that others write to, as it is at one moment."""
    copy = database.with_name(f"{PREFIX}{uuid4().hex}.sqlite")
    try:
        with (
            closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        yield copy
    finally:
        for path in database.parent.glob(f"{copy.name}*"):
            path.unlink()


def _put(draft: Path, state_dir: Path) -> None:
    """Move all of a draft into the folder, or nothing; raises ConfigError."""
    entries = sorted(draft.iterdir())
    there = [entry.name for entry in entries if _holds(state_dir / entry.name)]
    if there:
        raise ConfigError(
            f"{state_dir}: it holds {', '.join(there)} already; stop the service, and restore "
            "into an empty folder"
        )
    for entry in entries:
        target = state_dir / entry.name
        if target.is_dir():
            target.rmdir()
        os.rename(entry, target)


def _holds(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


def main(arguments: list[str]) -> int:
    """Save or restore; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m api.backup", description=__doc__)
    parser.add_argument("what", choices=("save", "restore"))
    what = parser.parse_args(arguments).what
    keep_private()
    state_dir = Settings().state_dir
    try:
        if what == "save":
            if sys.stdout.isatty():
                raise ConfigError("the archive goes to standard output: add `> FILE`")
            count = save(state_dir, sys.stdout.buffer)
        else:
            count = restore(state_dir, sys.stdin.buffer)
    except (ConfigError, OSError, sqlite3.Error) as error:
        print(f"python -m api.backup: {error}", file=sys.stderr)
        return 2
    print(f"{count} files of {state_dir} {what}d", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
