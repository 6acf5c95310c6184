"""`python -m treeline.commands.track [--if-chosen] [MODEL…]`: record trainings with the tracker.

By hand it records what `make repro` made last, in MLFLOW_TRACKING_URI or .treeline/mlflow.db.
With --if-chosen, as the pipeline calls it, it does nothing where no tracker is declared or named by
the environment, and a tracker that is away is told of and changes no exit code.
"""

import argparse
import sys

from treeline.delivery.tracking import follow, track
from treeline.errors import TreelineError


def main(arguments: list[str]) -> None:
    """Record the models named, or all of them."""
    parser = argparse.ArgumentParser(prog="track", description=__doc__)
    parser.add_argument("--if-chosen", action="store_true", help="as the pipeline calls it")
    parser.add_argument("model", nargs="*", help="models; all without one")
    asked = parser.parse_args(arguments)
    record = follow if asked.if_chosen else track
    record(asked.model)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except TreelineError as error:
        sys.exit(f"track: {error}")
