"""`python -m treeline.stages.<stage> <model>` → the outputs of a stage, or one clear error."""

import sys
from collections.abc import Callable

from treeline.config import Layout, declared_model
from treeline.config.models import ModelSpec
from treeline.errors import TreelineError


def run(stage: str, work: Callable[[ModelSpec, Layout], str]) -> None:
    """Run one stage for the model named on the command line and print what it says of its work.

    A TreelineError ends the process with exit code 1 and its message, without a traceback.
    """
    if len(sys.argv) != 2:
        sys.exit(f"usage: python -m treeline.stages.{stage} MODEL")
    name = sys.argv[1]
    try:
        spec, paths = declared_model(name)
        print(f"{stage} {name}: {work(spec, paths)}", flush=True)
    except TreelineError as error:
        sys.exit(f"{stage} {name}: {error}")
