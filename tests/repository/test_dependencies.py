"""`dvc.yaml` names the code each stage runs, so that DVC knows when to run it again."""

from pathlib import Path

import grimp
import pytest
from ruamel.yaml import YAML

from treeline.artifact import RUNTIMES
from treeline.config.metrics import METRICS
from treeline.lineage import CODE
from treeline.preparation import PREPARERS
from treeline.sources import SOURCES
from treeline.sources.simulators import SIMULATORS
from treeline.stages.evaluate import GRAPHS
from treeline.trainers import TRAINERS
from treeline.trainers.judging import ENGINES
from treeline.trainers.searching import STRATEGIES
from treeline.trainers.translated import TRANSLATORS

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "treeline"
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]

# These carry out what others decide: nothing in them changes what a stage writes.
PLUMBING = {"treeline", "treeline.errors", "treeline.files", "treeline.registry",
            "treeline.stages", "treeline.stages.__main__", "treeline.stages.running"}  # fmt: skip

# Looked up by name, so no import shows it.
TABLES = {
    "collect": [*SOURCES.values(), *SIMULATORS.values()],
    "prepare": [*PREPARERS.values()],
    "train": [
        *(*TRAINERS.values(), *STRATEGIES.values(), *ENGINES.values(), *TRANSLATORS.values()),
        *(metric.function for metric in METRICS.values()),
    ],
    "evaluate": [*GRAPHS.values(), *(metric.function for metric in METRICS.values())],
    "export": list(RUNTIMES.values()),
}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("treeline")


def _file(module: str) -> Path:
    path = ROOT / "src" / Path(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _declared(stage: str) -> list[Path]:
    return [ROOT / path for path in STAGES[stage]["do"]["deps"] if path.startswith("src/")]


def _run(graph: grimp.ImportGraph, stage: str) -> set[str]:
    """Return the modules that a stage runs, those it looks up by name included."""
    named = {text.partition(":")[0] for text in TABLES.get(stage, [])}
    run = {f"treeline.stages.{stage}", *named}
    for module in tuple(run):
        run |= graph.find_upstream_modules(module)
    return run


def _covered(file: Path, declared: list[Path]) -> bool:
    return any(file == path or path in file.parents for path in declared)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_all_the_code_it_runs(graph: grimp.ImportGraph, stage: str):
    run = _run(graph, stage)
    lost = [m for m in sorted(run - PLUMBING) if not _covered(_file(m), _declared(stage))]
    assert lost == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_no_code_that_it_does_not_run(graph: grimp.ImportGraph, stage: str):
    run = _run(graph, stage)
    files = {_file(module) for module in run}
    if stage == "export":  # it puts the digest of this code into the signature
        files |= {
            path for name in CODE for path in [PACKAGE / name, *(PACKAGE / name).glob("*.py")]
        }
    idle = [path for path in _declared(stage) if not any(_covered(file, [path]) for file in files)]
    assert idle == []


@pytest.mark.parametrize("stage", STAGES)
def test_what_a_stage_depends_on_exists(stage: str):
    missing = [path for path in _declared(stage) if not path.exists()]
    assert missing == []


def test_export_runs_again_when_code_of_the_lineage_changes():
    declared = _declared("export")
    assert [name for name in CODE if not _covered(PACKAGE / name, declared)] == []


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_can_tell_that_something_changed(stage: str):
    assert STAGES[stage]["do"]["deps"] and STAGES[stage]["do"]["params"]
