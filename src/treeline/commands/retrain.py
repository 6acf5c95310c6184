"""`python -m treeline.commands.retrain [--force] [--recollect] [MODEL]`: the run that CI makes.

Brings models up to date as `dvc repro` does, and leaves a note of what failed for the report.
"""

import argparse
import sys

from treeline.config import read_params
from treeline.delivery import notes, tracking
from treeline.delivery.reproducing import recollect, reproduce
from treeline.errors import ConfigError, TreelineError


def main(arguments: list[str]) -> int:
    """Run the pipeline; return 1 when a stage failed or the gate refused a model."""
    parser = argparse.ArgumentParser(prog="retrain", description=__doc__)
    parser.add_argument("--force", action="store_true", help="run every stage, changed or not")
    parser.add_argument("--recollect", action="store_true", help="ask every source again first")
    parser.add_argument("model", nargs="?", help="one model; all without it")
    asked = parser.parse_args(arguments)
    notes.forget()
    with notes.complaining("retrain"):
        models = _models(asked.model)
        failures = recollect(models) if asked.recollect else []
        failures = failures or reproduce(models, force=asked.force)
    notes.leave(notes.REPRODUCED, [failure.plain() for failure in failures])
    tracking.follow(models)
    for failure in failures:
        print(f"{failure.stage} {failure.model}: {failure.reason}".lstrip(": "), file=sys.stderr)
    return 1 if failures else 0


def _models(one: str | None) -> list[str]:
    declared = list(read_params().models)
    if one and one not in declared:
        raise ConfigError(f"{one}: not declared; declared are {', '.join(declared)}")
    return [one] if one else declared


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except TreelineError as error:
        sys.exit(str(error))
