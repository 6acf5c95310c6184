"""The installed code → which models are trained anew by it, and why; nothing is written."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import treeline
from treeline.config import Layout, read_params
from treeline.stages.dependencies import STAGES, stage_inputs
from treeline.stages.modules import read_modules

TRAIN = "train"
ROWS = STAGES[: STAGES.index(TRAIN)]  # the stages before it, which may give the same rows again
SHOWN = 4  # modules, or packages, that a line names


@dataclass(frozen=True)
class Anew:
    """A model, its stages that would run again, and what the first of them follows and changed."""

    model: str
    stages: tuple[str, ...]
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        """Say it in a line."""
        if not self.stages:
            return f"{self.model}: stays as it is"
        if TRAIN in self.stages:
            what = "trained anew"
        elif set(ROWS) & set(self.stages):
            what = "trained anew if its rows are others"
        else:
            what = "not trained anew"
        more = f" and {len(self.reasons) - SHOWN} more" if len(self.reasons) > SHOWN else ""
        said = ", ".join(self.reasons[:SHOWN])
        return f"{self.model}: {what}; `{self.stages[0]}` runs again for {said}{more}"


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
    reasons: dict[str, tuple[str, ...]] = {}
    for stage in STAGES:
        path = Layout(name).inputs / f"{stage}.json"
        if not path.is_file():
            return Anew(name, STAGES, ("want of a training before",))
        before = json.loads(path.read_text(encoding="utf-8"))
        after = json.loads(json.dumps(inputs[stage]))
        reasons[stage] = _reasons(before, after) + (libraries if stage == TRAIN else ())
    changed = tuple(stage for stage in STAGES if reasons[stage])
    return Anew(name, changed, reasons[changed[0]] if changed else ())


def _reasons(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the modules with another digest, and the parts of the declaration that differ."""
    then, now = before.get("code", {}), after["code"]
    modules = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    declared = [key for key in after if key != "code" and before.get(key) != after[key]]
    return (*modules, *(f"the {key} is read otherwise" for key in declared))
