"""A function by its import path gives rows: frames and tables, one or several."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from tests.conftest import ROWS, Project
from tests.own_classes import as_own
from treeline.commands.params import mistakes
from treeline.errors import SourceError, UnknownNameError
from treeline.sources.functions import FunctionTables
from treeline.stages.collect import collect
from treeline.stages.dependencies import STAGES, stage_inputs
from treeline.stages.modules import read_modules
from treeline.tables import read_frame

ROOT = Path(__file__).resolve().parents[2]
FRAME = pd.DataFrame({"size": [1.5, 2.5], "kind": pd.Categorical(["a", "b"])})


def frame(rows: int = 2) -> pd.DataFrame:
    return FRAME.head(rows)


def table() -> pa.Table:
    return pa.table({"size": [1.5, 2.5], "kind": ["a", "b"]})


def several() -> Iterator[pd.DataFrame]:
    yield FRAME.head(1)
    yield FRAME.tail(1)


def listed() -> list[pa.Table]:
    return [table().slice(0, 1), table().slice(1, 1)]


def failing() -> Iterator[pd.DataFrame]:
    yield FRAME
    raise ConnectionError("nobody is there")


def number() -> int:
    return 7


def words() -> list[str]:
    return ["a", "b"]


def mixed() -> pd.DataFrame:
    return pd.DataFrame({"size": [1, "a"]})


def source(project: Project, name: str, **options: Any) -> FunctionTables:
    document = project.document()
    block = document["models"][project.name]
    block["source"] = {"kind": "python", "function": f"{as_own(__name__)}.{name}"}
    block["source"] |= {"options": options} if options else {}
    block["source"]["columns"] = {"Plot": "integer", "Harvest": "integer"}
    project.write(document)
    return FunctionTables(project.spec.source)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["frame", "table", "several", "listed"])
def test_rows_come_as_the_function_gives_them(project: Project, name: str) -> None:
    rows = pa.concat_tables(source(project, name).tables())
    assert rows.to_pydict() == {"size": [1.5, 2.5], "kind": ["a", "b"]}


def test_options_are_those_of_the_declaration(project: Project) -> None:
    assert [each.num_rows for each in source(project, "frame", rows=1).tables()] == [1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("failing", "own.test_functions.failing failed: ConnectionError: nobody is there"),
        ("number", "part 1 is a int; give a frame of pandas"),
        ("words", "part 1 is a str; give a frame of pandas"),
        ("mixed", "part 1: the frame cannot be read.*size"),
    ],
)
def test_what_cannot_be_collected_names_the_function(
    project: Project, name: str, message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        list(source(project, name).tables())


def test_a_wrong_option_is_named(project: Project) -> None:
    with pytest.raises(SourceError, match=r"frame failed: TypeError.*raws"):
        list(source(project, "frame", raws=1).tables())


def test_a_function_that_is_not_there_is_a_mistake_of_the_declaration(project: Project) -> None:
    tables = source(project, "nothing")
    with pytest.raises(UnknownNameError, match="cannot be imported"):
        list(tables.tables())
    (mistake,) = mistakes(project.read())
    assert mistake.startswith("models.seedlings.source.function: 'own.test_functions.nothing'")


def test_the_folder_that_the_stage_follows_must_be_there(project: Project) -> None:
    source(project, "seedlings")
    (mistake,) = mistakes(project.read())
    assert "the folder dataset/sources/python is not there" in mistake
    (project.root / "dataset" / "sources" / "python").mkdir()
    assert mistakes(project.read()) == []


def seedlings() -> pd.DataFrame:
    header, *lines = (line.split(",") for line in ROWS.splitlines())
    return pd.DataFrame(lines, columns=header)


def test_what_a_function_gives_is_collected(project: Project) -> None:
    source(project, "seedlings")
    assert collect(project.spec, project.paths) == "120 rows from python"
    assert len(read_frame(project.paths.raw)) == 120


def test_the_stage_that_collects_follows_the_files_of_own_functions(project: Project) -> None:
    source(project, "frame")
    spec, own = project.spec, project.root / "src" / "own"
    own.mkdir(parents=True)
    module = str(spec.source.function).split(".")[1]  # type: ignore[union-attr]
    (own / f"{module}.py").write_text("A = 1\n")
    (own / "other.py").write_text("B = 1\n")
    modules = read_modules(ROOT / "src" / "treeline")
    inputs = stage_inputs(spec, modules, default=True)
    following = [stage for stage in STAGES if f"own/{module}.py" in inputs[stage]["code"]]
    assert following == ["collect"]
    assert not any("own/other.py" in inputs[stage]["code"] for stage in STAGES)
