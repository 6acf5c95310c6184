"""Stages follow the code they run: what is read from the files is what Python would import."""

from importlib import import_module
from pathlib import Path

import grimp
import pytest
from ruamel.yaml import YAML

from treeline.stages.dependencies import OPENS, PICKS, PLUMBING, RUNS_OWN
from treeline.stages.dependencies import STAGES as FOLLOWING
from treeline.stages.modules import NAME, Module, read_modules
from treeline.stages.running import ONCE
from treeline.stages.running import STAGES as RUN

ROOT = Path(__file__).resolve().parents[2]
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
FOR_A_MODEL = [stage for stage in STAGES if stage not in ONCE]


@pytest.fixture(scope="module")
def modules() -> dict[str, Module]:
    return read_modules(ROOT / "src" / "treeline")


def test_imports_are_those_that_another_reader_of_the_package_sees(
    modules: dict[str, Module],
) -> None:
    graph = grimp.build_graph("treeline", exclude_type_checking_imports=True, cache_dir=None)
    assert set(modules) == graph.modules
    for name, module in modules.items():
        seen = graph.find_modules_directly_imported_by(name)
        packages = {each.rpartition(".")[0] for each in seen}
        assert seen <= set(module.imports) <= seen | packages, name


def test_tables_of_names_are_those_that_python_sees(modules: dict[str, Module]) -> None:
    """However a table is written: one that is put together would be seen by Python alone."""
    read = [table for module in modules.values() for table in module.tables.values()]
    for name in modules:
        try:
            real = vars(import_module(name)).values()
        except ModuleNotFoundError as error:  # an engine that is not installed
            assert not (error.name or "").startswith("treeline")
            continue
        for table in filter(_is_table, real):
            matches = {key: NAME.fullmatch(value) for key, value in table.items()}
            led = {key: match[1] for key, match in matches.items() if match}
            led = {key: module for key, module in led.items() if module in modules}
            assert not led or led in read, name


def _is_table(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


def test_a_declaration_picks_from_tables_that_are_looked_up_in(modules: dict[str, Module]) -> None:
    lookups = {lookup for module in modules.values() for lookup in module.lookups}
    assert set(PICKS) <= lookups
    for lookup in PICKS:
        holder, _, table = lookup.partition(":")
        assert modules[holder].tables[table]


def test_every_name_of_a_module_stands_in_a_table(modules: dict[str, Module]) -> None:
    """A name elsewhere would be looked up unseen."""
    listed = {each for module in modules.values() for t in module.tables.values() for each in t}
    assert {"sklearn", "local", "onnx"} <= listed
    tables = {f"{name}:{table}" for name, module in modules.items() for table in module.tables}
    lookups = {lookup for module in modules.values() for lookup in module.lookups}
    assert tables <= lookups


def test_plumbing_is_there(modules: dict[str, Module]) -> None:
    assert set(modules) >= PLUMBING


def test_each_stage_follows_its_code_and_only_one_follows_files_of_the_package() -> None:
    assert [*FOR_A_MODEL] == [*RUN] == [*FOLLOWING] and {*ONCE} <= {*STAGES}
    for stage in FOLLOWING:
        deps = STAGES[stage]["do"]["deps"]
        assert f"model/inputs/${{key}}/{stage}.json" in deps
        assert not [path for path in deps if path.startswith("src")]
    assert STAGES["code"]["deps"] == ["src/treeline"]
    assert set(STAGES["digest"]["deps"]) == {"model/code.json", "params.yaml", "src/own"}
    assert {*OPENS, *RUNS_OWN} <= set(FOLLOWING)


def test_no_stage_follows_keys_of_a_file() -> None:
    """DVC would parse that file anew for each stage of each model."""
    assert not [stage for stage in STAGES.values() if "params" in stage.get("do", stage)]
