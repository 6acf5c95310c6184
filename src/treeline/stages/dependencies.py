"""The code and a declaration → what each stage of a model follows."""

from collections.abc import Callable, Collection, Mapping
from datetime import date
from math import isfinite
from typing import Any

from treeline.config.models import BASELINE, Candidate, ModelSpec
from treeline.config.sources import SourceSpec
from treeline.registry import is_own, own_folder
from treeline.stages.modules import Module, OwnFiles, reached

STAGES = ("collect", "prepare", "train", "evaluate", "gate", "export")

# Stages that open what another one pickled: its classes are imported when they are opened.
OPENS = {"evaluate": "train", "export": "train"}
RUNS_OWN = ("train", "evaluate", "export")  # the stages that run candidates of src/own

# Keys of a block that cannot change what a stage writes; `collect` reads the source alone. A stage
# that is not here follows the whole block, and a new key is followed until it is listed.
WORDS = {"description", "notes"}
WATCHING = {"monitor"}
JUDGING = {"evaluation", "gate", "export"} | WATCHING
IGNORES: dict[str, set[str]] = {
    "collect": set(ModelSpec.model_fields) - {"source"},
    "prepare": WORDS | JUDGING | {"candidates", "search", "champion"},
    "train": WORDS | JUDGING | {"source"},
    "evaluate": WATCHING,
    "gate": WATCHING,
    "export": WATCHING,
}

# The stages whose code decides what a model is. The signature holds its digest, so that `export`,
# which writes it, follows all of it.
MAKING = ("prepare", "train", "export")

# These carry out what others decide: nothing in them changes what a stage writes. The package
# itself holds its version and the names of the library.
PLUMBING = frozenset(
    {
        "treeline",
        "treeline.config.monitor",
        "treeline.config.problems",
        "treeline.engines.java",
        "treeline.engines.keeper",
        "treeline.engines.supervision",
        "treeline.errors",
        "treeline.files",
        "treeline.registry",
    }
)


def _sources(spec: ModelSpec) -> list[SourceSpec]:
    base = getattr(spec.source, "base", None)
    return [spec.source, *([base] if base is not None else [])]


def _trainers(spec: ModelSpec) -> set[str]:
    """Return the trainers of the candidates, and that of the baseline where none is declared."""
    usual = () if BASELINE in spec.candidates else (Candidate.model_fields["trainer"].default,)
    return {*usual, *(candidate.trainer for candidate in spec.candidates.values())}


PICKS: dict[str, Callable[[ModelSpec], Collection[str]]] = {
    "treeline.preparation:PREPARERS": lambda spec: {spec.split.engine},
    "treeline.sources:SOURCES": lambda spec: {each.kind for each in _sources(spec)},
    "treeline.sources.simulators:SIMULATORS": lambda spec: {
        each.simulator for each in _sources(spec) if each.kind == "simulate"
    },
    "treeline.trainers:TRAINERS": _trainers,
    "treeline.trainers.searching:ENGINES": lambda spec: {spec.search.engine},
    "treeline.trainers.searching:STRATEGIES": lambda spec: {spec.search.strategy},
}


def stage_inputs(
    spec: ModelSpec, modules: Mapping[str, Module], *, default: bool
) -> dict[str, dict[str, Any]]:
    """Return, by stage, what it follows: `code`, digests by module, and `declaration`, JSON data.

    `default` says whether the model answers where a request names none; it is in the signature.
    """
    code = stage_code(spec, modules)
    code["export"] = {name: each for stage in MAKING for name, each in code[stage].items()}
    inputs: dict[str, dict[str, Any]] = {}
    for stage in STAGES:
        block = spec.model_dump(by_alias=True, exclude_defaults=True, exclude=IGNORES.get(stage))
        inputs[stage] = {"declaration": _plain(block), "code": dict(sorted(code[stage].items()))}
    inputs["export"]["default"] = default
    return inputs


def _plain(value: Any) -> Any:
    """Return a declared value as JSON data; what is declared otherwise is other data.

    The order of keys stays: it is that of the columns, for the features. Keys of JSON are texts, so
    that a mapping with other keys becomes its pairs.
    """
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value):
            return {key: _plain(each) for key, each in value.items()}
        return {"pairs": [[_plain(key), _plain(each)] for key, each in value.items()]}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    # YAML reads an unquoted date or time as such; JSON knows neither of them, nor infinity.
    if isinstance(value, date) or (isinstance(value, float) and not isfinite(value)):
        return {type(value).__name__: str(value)}
    return value


def stage_code(spec: ModelSpec, modules: Mapping[str, Module]) -> dict[str, dict[str, str]]:
    """Return, by stage, the digest of each module that it runs, in sorted order.

    Where a stage runs a class of `src/own`, files there are among them by their path below `src`:
    its module and those that it imports, and every file that is none, as a class may read a table
    that lies beside it.
    """
    named = {stage: own_paths(stage, spec) for stage in STAGES}
    own = OwnFiles.read(own_folder()) if any(named.values()) else None
    digests = {}
    for stage in STAGES:
        names = sorted(stage_modules(stage, spec, modules))
        code = {name: modules[name].digest for name in names}
        digests[stage] = code | ({} if own is None else own.followed(named[stage]))
    return digests


def own_paths(stage: str, spec: ModelSpec) -> list[str]:
    """Return the import paths of classes and functions of src/own that a stage runs, sorted."""
    named: set[str] = set()
    if stage == "collect":
        named |= {getattr(each, "function", "") for each in _sources(spec)}
    if stage in RUNS_OWN:
        named |= {path for each in spec.candidates.values() for path in each.class_paths}
    champion = spec.champion.metric
    if stage in ("train", "gate"):
        named |= {champion, *(spec.gate.judging if stage == "gate" else ())}
    if stage == "evaluate":
        named |= set(spec.metric_paths)
    return sorted(filter(is_own, named))


def stage_modules(stage: str, spec: ModelSpec, modules: Mapping[str, Module]) -> set[str]:
    """Return the modules of this package that a stage runs for a model, without the plumbing."""
    paths = [path for each in spec.candidates.values() for path in each.class_paths]
    named = {path.rpartition(".")[0] for path in paths}
    roots = {"treeline.stages.arithmetic"}
    for each in {stage, OPENS.get(stage, stage)}:
        roots |= {f"treeline.stages.{each}", *(named if each == "train" else ())}
    picks = {table: pick(spec) for table, pick in PICKS.items()}
    return reached(modules, roots, picks=picks, left_out=PLUMBING)
