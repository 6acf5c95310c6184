"""`python -m treeline.commands.score MODEL INPUT OUTPUT`: a prediction for each row of Parquet.

MODEL is exported under `model/`, INPUT a Parquet file or a folder of them, OUTPUT replaced in one
step when every row is scored. Where rows break the signature nothing is written, unless they are
to be reported. With `--engine spark` the cluster that SPARK_MASTER names scores; INPUT and OUTPUT
are then paths that all its workers see, and OUTPUT is a folder.
"""

import argparse
import sys
import time
from pathlib import Path

from treeline.artifact import RUNTIMES
from treeline.errors import TreelineError
from treeline.registry import resolve
from treeline.scoring import SCORERS, Job, Scorer, packed


def main(arguments: list[str]) -> str:
    """Score, and return what was done; raises TreelineError."""
    parser = argparse.ArgumentParser(prog="score", description=__doc__)
    parser.add_argument("model", metavar="MODEL", help="the name of an exported model")
    parser.add_argument("source", metavar="INPUT", type=Path, help="Parquet: a file or a folder")
    parser.add_argument("target", metavar="OUTPUT", type=Path, help="Parquet, replaced")
    parser.add_argument("--engine", choices=sorted(SCORERS), default="local")
    parser.add_argument("--keep", action="append", default=[], help="a column that goes along")
    parser.add_argument("--bad-rows", choices=("refuse", "report"), default="refuse")
    parser.add_argument("--admit", choices=sorted(RUNTIMES), default="onnx", help="the runtime")
    parser.add_argument("--models", type=Path, default=Path("model"), help="where they are")
    asked = parser.parse_args(arguments)
    started = time.perf_counter()
    scorer: Scorer = resolve(SCORERS, asked.engine, place="--engine")
    job = Job(
        source=asked.source.resolve(),
        target=asked.target.resolve(),
        keep=tuple(asked.keep),
        reporting=asked.bad_rows == "report",
    )
    rows = scorer(packed(asked.models, asked.model, admitted=frozenset({asked.admit})), job)
    seconds = time.perf_counter() - started
    return (
        f"{asked.model}: {rows:,} rows of {asked.source} scored in {seconds:.1f} s: {asked.target}"
    )


if __name__ == "__main__":
    try:
        print(main(sys.argv[1:]))
    except TreelineError as error:
        sys.exit(f"score: {error}")
