"""What many tests share: the deposited seedlings, and a scratch repository folder."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from ruamel.yaml import YAML

from tests.checkout import clone, created, fresh, reproduced
from tests.real_data import real_seedlings
from treeline.config import Layout, Params, read_params
from treeline.config.models import ModelSpec

__all__ = ["clone", "created", "declaration", "fresh", "project", "real_seedlings", "reproduced"]

# a test finds the same today as tomorrow, on a busy machine too, and leaves no folder behind
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")

# What takes longest starts first when tests run in parallel, lest all wait for what started last.
# Measured one after the other: 382, 330, 330, 120, 80, 76, 44, 40 and 37 seconds; others take less.
OF_THE_CLONE = "reproduced"
LONGEST_FIRST = (
    OF_THE_CLONE,
    "tests/workflows/test_training.py",
    "tests/workflows/test_deploying.py",
    "tests/workflows/test_scheduling.py",
    "tests/workflows/test_monitoring.py",
    "tests/workflows/test_reviewing.py",
    "names of containers",
    "tests/api/test_registry_server.py",
    "tests/trainers/test_h2o.py",
    "tests/artifact/test_h2o.py",
    "tests/api/test_h2o_runtime.py",
    "tests/api/test_registry.py",
    "tests/api/test_registry_alone.py",
    "tests/delivery/test_commands.py",
    "tests/commands/test_example.py",
    "tests/notebooks/test_notebooks.py",
    "tests/commands/test_adopt.py",
    "tests/delivery/test_publishing.py",
    "tests/jobs/test_engine.py",
)

# `pytest -m "not slow"` takes less than a minute: no pipeline, no container, no running service.
# What is here takes long, or starts processes; a new file is not slow until it is added.
SLOW = (
    *(f"tests/{folder}/" for folder in (
        "agent", "balancer", "cli", "client", "commands", "container", "delivery", "deployment",
        "doctor", "engines", "estimators", "fuzz", "intake", "jobs", "kubernetes", "library",
        "notebooks", "pipeline", "provenance", "scaffold", "trackers", "workbench", "workflows",
    )),
    *(f"tests/api/test_{name}" for name in (
        "adopted_file", "background", "backup", "batch", "bodies", "conformance", "corpus",
        "event_loop", "explanations", "exports", "feedback",
        "fetched", "freshness", "full_disks", "generated_clients", "h2o", "jobs", "keys",
        "lean_import", "logging", "metrics",
        "pages", "prediction_log", "private_files", "processes", "protocol", "recent", "redaction",
        "registry", "reloading", "row_numbers", "sandbox", "security", "server", "serving",
        "system", "tracing", "truths", "uploads", "wheel",
    )),
    "tests/artifact/test_h2o.py",
    "tests/contract/test_doors.py",
    "tests/monitoring/",
    "tests/github/test_hub.py",
    "tests/preparation/test_examples.py",
    "tests/preparation/test_in_parts.py",
    "tests/scoring/test_contenders.py",
    "tests/sources/",
    "tests/export/test_admitted.py",
    "tests/export/test_conversion.py",
    "tests/export/test_packaging.py",
    "tests/export/test_splits.py",
    "tests/evaluation/test_own_metrics.py",
    "tests/plots/test_plots",
    "tests/cli/test_terminal.py",
    "tests/trainers/test_contest.py",
    "tests/trainers/",
)  # fmt: skip

NAME = "seedlings"

PARAMS = """\
default: seedlings
models:
  seedlings:
    description: Will this seedling die?
    source:
      kind: file
      path: dataset/sources/file/seedlings.csv
      columns: {Plot: integer, Harvest: integer}
      where: {Harvest: 0}
    target: {name: Event, task: binary, positive: 1}
    features:
      Species: {type: category, categories: [Acer, Quercus]}
      Light: {type: number, minimum: 0, maximum: 1}
      EMF: {type: number, minimum: 0, maximum: 100, fill: 0}
    split: {test: 0.25, group: Plot, seed: 0}
    candidates:
      logistic:
        estimator: sklearn.linear_model.LogisticRegression
        search: {C: [0.1, 1]}
    search: {strategy: grid, folds: 3}
    champion: {metric: roc_auc}
    gate: {floor: {roc_auc: 0.5}, beats: null}
"""

ROWS = "\n".join(
    ["Plot,Species,Light,EMF,Event,Harvest"]
    + [
        f"{row % 12},{('Acer', 'Quercus')[row % 2]},{(row * 37 % 100) / 100},"
        f"{'NA' if row % 3 == 0 else row % 50},{int(row * 37 % 100 < 50)},{int(row % 10 == 9)}"
        for row in range(120)
    ]
)


def group_of(item: pytest.Function) -> str:
    """Return what a test shares its process with: its file, or all that use the reproduced clone.

    The clone takes 46 seconds to make, so one process makes it. A module may have a fixture of its
    own under the same name, which is another. A test may name a group of its own: what starts a JVM
    is in `spark`, so that one runs at a time.
    """
    if (named := item.get_closest_marker("xdist_group")) is not None:
        return str(named.args[0])
    file = item.nodeid.partition("::")[0]
    uses_it = "reproduced" in item.fixturenames and not hasattr(item.module, "reproduced")
    return OF_THE_CLONE if uses_it or file.startswith("tests/pipeline/") else file


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import what takes long where just the quick tests are to run."""
    if config.option.markexpr != "not slow" or not collection_path.is_file():
        return None
    return collection_path.relative_to(config.rootpath).as_posix().startswith(SLOW) or None


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Function]) -> None:
    """Keep the tests of a group together, and in a parallel run start the longest groups first."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item)))
        if item.nodeid.startswith(SLOW) or "reproduced" in item.fixturenames:
            item.add_marker(pytest.mark.slow)
    if hasattr(config, "workerinput"):
        rank = {group: place for place, group in enumerate(LONGEST_FIRST)}
        items.sort(key=lambda item: rank.get(group_of(item), len(rank)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Stop where xdist does not read the groups, as 3.8 does with pytest 9.2, and says nothing."""
    if getattr(session.config.option, "loadgroup", False):
        lost = [item.nodeid for item in session.items if "@" not in item.nodeid]
        assert not lost, "this xdist ignores the groups of tests; take another pytest, or JOBS=0"


@dataclass(frozen=True)
class Project:
    """A scratch repository folder, which is also the working directory."""

    root: Path
    name: str = NAME

    @property
    def params(self) -> Path:
        return self.root / "params.yaml"

    @property
    def paths(self) -> Layout:
        return Layout(self.name)

    @property
    def spec(self) -> ModelSpec:
        return self.read().models[self.name]

    def read(self) -> Params:
        return read_params(self.params)

    def document(self) -> Any:
        """Return params.yaml as plain dictionaries, to be changed and written back."""
        return YAML(typ="safe", pure=True).load(self.params.read_text())

    def write(self, document: Any) -> None:
        with self.params.open("w") as file:
            YAML(typ="safe", pure=True).dump(document, file)

    def replace(self, old: str, new: str) -> None:
        """Change the text of params.yaml in one place."""
        text = self.params.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in params.yaml"
        self.params.write_text(text.replace(old, new))


@pytest.fixture(scope="session", autouse=True)
def state_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No service of a test writes to the folder that one of this checkout writes to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("API_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session", autouse=True)
def own_environment() -> Iterator[None]:
    """No command of a test reports to the makers of DVC, from a process that it leaves behind.

    Nor is what this run was given, such as `ARGS`, handed to the `make` of a test.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_NO_ANALYTICS", "true")
        for name in ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "ARGS", "PYTEST_ADDOPTS"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a folder with params.yaml and a source of 120 rows, as the working directory."""
    (tmp_path / "params.yaml").write_text(PARAMS)
    source = tmp_path / "dataset" / "sources" / "file" / "seedlings.csv"
    source.parent.mkdir(parents=True)
    source.write_text(ROWS + "\n")
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


@pytest.fixture
def declaration() -> dict[str, Any]:
    """Return the model block of the scratch repository, to be changed at will."""
    block: dict[str, Any] = YAML(typ="safe", pure=True).load(PARAMS)["models"][NAME]
    return block
