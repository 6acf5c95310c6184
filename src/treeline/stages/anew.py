"""The installed code → which models are trained anew by it, and why; nothing is written."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import treeline
from treeline.config import Layout, read_params
from treeline.stages.dependencies import STAGES, read_modules, stage_inputs

TRAINING = STAGES[: STAGES.index("train") + 1]
BY_LIBRARIES = "train"  # the first stage that follows the lock file
SHOWN = 4  # modules, or packages, that a line names


@dataclass(frozen=True)
class Anew:
    """A model, the first of its stages that would run again, and what that follows and changed.

    `stage` is empty where none would.
    """

    model: str
    stage: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        """Say it in a line."""
        if not self.stage:
            return f"{self.model}: stays as it is"
        more = f" and {len(self.reasons) - SHOWN} more" if len(self.reasons) > SHOWN else ""
        said = f"{', '.join(self.reasons[:SHOWN])}{more}"
        what = "trained anew" if self.stage in TRAINING else f"not trained anew, {self.stage} runs"
        return f"{self.model}: {what}, from `{self.stage}` on: {said}"


def trained_anew(libraries: tuple[str, ...] = ()) -> list[Anew]:
    """Return for each declared model what the installed code makes of it.

    `libraries` are the packages of the lock file that will have another version. Raises ConfigError
    where this version cannot read the declaration.
    """
    params = read_params()
    modules = read_modules(Path(treeline.__file__).parent)
    return [
        _of(name, stage_inputs(spec, modules, default=name == params.default), libraries)
        for name, spec in params.models.items()
    ]


def _of(name: str, inputs: Mapping[str, Any], libraries: tuple[str, ...]) -> Anew:
    for stage in STAGES:
        path = Layout(name).inputs / f"{stage}.json"
        if not path.is_file():
            return Anew(name, stage, ("it was not trained yet",))
        before = json.loads(path.read_text(encoding="utf-8"))
        reasons = _reasons(before, json.loads(json.dumps(inputs[stage])))
        if stage == BY_LIBRARIES:
            reasons += libraries
        if reasons:
            return Anew(name, stage, reasons)
    return Anew(name, "", ())


def _reasons(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the modules with another digest, and the parts of the declaration that differ."""
    then, now = before.get("code", {}), after["code"]
    modules = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    declared = [key for key in after if key != "code" and before.get(key) != after[key]]
    return (*modules, *(f"the {key} is read otherwise" for key in declared))
