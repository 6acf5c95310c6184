"""Records on their way to a tracker: whole folders below .treeline/tracking until it has them.

A training is put here before the tracker is asked for anything. So what a server that is away
missed, or one that died in the middle, is sent when the next training is, whatever has overwritten
the files in `model/` meanwhile.
"""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from treeline.errors import TrackingError
from treeline.files import replacing_folder, write_text
from treeline.trackers.record import Record, Written

FOLDER = Path(".treeline/tracking")
RECORD, FILES = "record.json", "files"
LOCK = "lock"


@contextmanager
def held() -> Iterator[None]:
    """Keep other processes of this checkout from sending; raises TrackingError when one does."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / LOCK).open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrackingError(f"{FOLDER}: another command records trainings just now") from None
        yield


def post(record: Record, written: Written) -> Path:
    """Keep a record and its files until it is sent; return the folder.

    Where the same training waits already, it stays as it is.
    """
    folder = FOLDER / f"{record.model}-{record.digest[:12]}"
    if not (folder / RECORD).exists():
        with replacing_folder(folder) as draft:
            for name, path in written.files.items():
                (draft / FILES / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, draft / FILES / name)
            write_text(draft / RECORD, record.model_dump_json(indent=2))
    return folder


def waiting() -> list[tuple[Record, Path]]:
    """Return what waits, with the folder of its files, in the order in which it was trained."""
    records = [
        (Record.model_validate_json(path.read_bytes()), path.parent / FILES)
        for path in sorted(FOLDER.glob(f"[!.]*/{RECORD}"))
    ]
    return sorted(records, key=lambda each: each[0].origin.ended)


def sent(files: Path) -> None:
    """Forget what a tracker has, given the folder of its files."""
    shutil.rmtree(files.parent)
