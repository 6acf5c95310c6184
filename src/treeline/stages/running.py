"""A stage and a model, by name → the outputs of the stage, or one clear error."""

import gc
import sys

from treeline.config import declared_model
from treeline.errors import TreelineError
from treeline.registry import resolve

STAGES = {
    "collect": "treeline.stages.collect:collect",
    "prepare": "treeline.stages.prepare:prepare",
    "train": "treeline.stages.train:train",
    "evaluate": "treeline.stages.evaluate:evaluate",
    "gate": "treeline.stages.gate:gate",
    "export": "treeline.stages.export:export",
}


def run(arguments: list[str]) -> None:
    """Run a stage for a model and print what it says of its work.

    A TreelineError ends the process with exit code 1 and its message, without a traceback.
    """
    if len(arguments) != 2:
        sys.exit(f"usage: python -m treeline.stages {{{'|'.join(STAGES)}}} MODEL")
    stage, name = arguments
    try:
        spec, paths = declared_model(name)
        gc.disable()  # imports leave no garbage, and looking for it is a tenth of a short stage
        work = resolve(STAGES, stage, place="stage", extra="train")
        gc.enable()
        print(f"{stage} {name}: {work(spec, paths)}", flush=True)
    except TreelineError as error:
        sys.exit(f"{stage} {name}: {error}")
