"""A checkout that was moved: MLflow's file database names the folders of its files in full.

MLflow makes every local address absolute when it stores it, so that after a move it would write
to the old place. Here the addresses in the file of this checkout are made to begin where it is now.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from treeline.trackers.addresses import DATABASE, FILES

ADDRESSES = (("experiments", "artifact_location"), ("runs", "artifact_uri"))


def relocate(root: Path, database: Path = DATABASE) -> None:
    """Let the addresses of files below `.treeline/mlruns` begin with `root`; others stay."""
    if not database.exists():
        return
    inside = f"/{FILES.as_posix()}/"
    with closing(sqlite3.connect(database)) as store, store:
        for table, column in ADDRESSES:
            if not store.execute(f"PRAGMA table_info({table})").fetchall():
                return  # not made by MLflow, which will say so
            store.execute(
                f"UPDATE {table} SET {column} = :root || substr({column}, instr({column}, :inside))"
                f" WHERE instr({column}, '/') = 1 AND instr({column}, :inside) > 0"
                f" AND instr({column}, :root || :inside) <> 1",
                {"root": str(root), "inside": inside},
            )
