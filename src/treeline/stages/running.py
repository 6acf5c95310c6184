"""A stage and a model, by name → the outputs of the stage, or one clear error."""

import gc
import sys

from treeline.config import declared_model
from treeline.delivery.progress import reported
from treeline.errors import TreelineError
from treeline.registry import admit_own_classes, resolve

ONCE = {  # the stages that run once for all models
    "code": "treeline.stages.digest:write_code",
    "digest": "treeline.stages.digest:write_inputs",
}
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
    admit_own_classes()
    if len(arguments) == 1 and arguments[0] in ONCE:
        _run_once(arguments[0])
        return
    if len(arguments) != 2:
        usage = f"{{{'|'.join(ONCE)}}} | {{{'|'.join(STAGES)}}} MODEL"
        sys.exit(f"usage: python -m treeline.stages {usage}")
    stage, name = arguments
    try:
        with reported(stage, name, stages=tuple(STAGES)) as said:
            spec, paths = declared_model(name)
            gc.disable()  # imports leave no garbage, and looking for it is a tenth of a short stage
            work = resolve(STAGES, stage, place="stage", extra="train")
            gc.enable()
            said.append(work(spec, paths))
    except TreelineError as error:
        sys.exit(f"{stage} {name}: {error}")


def _run_once(stage: str) -> None:
    try:
        with reported(stage, "", stages=()) as said:
            said.append(resolve(ONCE, stage, place="stage")())
    except TreelineError as error:
        sys.exit(f"{stage}: {error}")
