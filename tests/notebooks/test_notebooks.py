"""The notebooks run from top to bottom, show what they found, and repeat nothing of the package."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

nbclient = pytest.importorskip("nbclient", reason="the notebooks need: make setup-dev")
nbformat = pytest.importorskip("nbformat", reason="the notebooks need: make setup-dev")

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MODEL = "tree-survival"
MOST_BYTES = 400_000
MOST_LINES = 30  # of a cell: what is longer wants a name, and a name belongs in the package
EXPLORES_WITH = {
    *("IPython", "json", "matplotlib", "numpy", "os", "pandas", "pathlib", "pyarrow", "scipy"),
    "treeline",
}
# A path from the root, as Unix and as Windows (in JSON) write it; or what only a traceback holds.
OF_A_MACHINE = re.compile(r"(?<![\w.:/<])/(?:\w[\w.-]*/)+|\b[A-Z]:\\\\|site-packages|\\u001b")

# The stages of one model in one process: importing the libraries takes longer than the work.
STAGES = """
import sys
from treeline.stages.digest import write_code
from treeline.stages.digest import write_inputs
from treeline.stages.running import STAGES, run
write_code()
write_inputs()
for stage in STAGES:
    run([stage, sys.argv[1]])
"""


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in code(notebook) for output in cell.outputs]


def shown(notebook: Any) -> str:
    """Return everything but pictures that a notebook shows, as one text."""
    told = json.dumps(outputs(notebook), ensure_ascii=False)
    return re.sub(r'"image/png": "[^"]*"', "", told)


def copied(root: Path, source: dict[str, Any]) -> Path:
    """Make a clean clone's notebooks, code and sources, with a small search and no gate."""
    for name in ("src", "dataset/sources", "requirements", "notebooks"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    yaml = YAML(typ="safe", pure=True)
    document = yaml.load((ROOT / "params.yaml").read_text())
    block = document["models"][MODEL]
    block["source"] = {key: block["source"][key] for key in ("columns", "where")} | source
    block["search"] |= {"strategy": "random", "trials": 2}
    block["gate"] = {"beats": None}
    with (root / "params.yaml").open("w") as file:
        yaml.dump(document, file)
    return root


def environment(root: Path) -> dict[str, str]:
    """Return an environment in which `treeline` is the copy's."""
    return {**os.environ, "PYTHONPATH": str(root / "src"), "IPYTHONDIR": str(root / ".ipython")}


def executed(root: Path, name: str) -> Any:
    """Run a notebook of a copy in its own folder; raises CellExecutionError when a cell does."""
    notebook = read(root / "notebooks" / f"{name}.ipynb")
    place = {"metadata": {"path": str(root / "notebooks")}}
    client = nbclient.NotebookClient(notebook, timeout=120, resources=place, record_timing=False)
    return client.execute(env=environment(root))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy in which the pipeline has never run."""
    source = {"kind": "simulate", "simulator": "tree_experiment", "rows": 2783, "seed": 2018}
    return copied(tmp_path_factory.mktemp("notebooks") / "clone", source)


@pytest.fixture(scope="module")
def reproduced(clone: Path) -> Path:
    """Return the copy after its pipeline has run."""
    command = [sys.executable, "-c", STAGES, MODEL]
    done = subprocess.run(
        command, cwd=clone, env=environment(clone), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return clone


def test_there_is_one_notebook_for_the_data_and_one_for_the_model() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["data-analysis", "model"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_committed_notebook_was_run_from_top_to_bottom_without_errors(path: Path) -> None:
    notebook = read(path)
    counts = [cell.execution_count for cell in code(notebook)]
    assert counts == list(range(1, len(counts) + 1)), "run it whole with: make notebook"
    kinds = {output.output_type for output in outputs(notebook)}
    assert kinds <= {"display_data", "execute_result"}, "it shows an error or a stray message"
    pictures = [output for output in outputs(notebook) if "image/png" in output.get("data", {})]
    assert len(pictures) >= 5


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_committed_notebook_is_small_enough_to_be_read_on_github(path: Path) -> None:
    assert path.stat().st_size < MOST_BYTES


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_committed_notebook_tells_nothing_of_the_machine_or_the_hour(path: Path) -> None:
    notebook = read(path)
    assert OF_A_MACHINE.findall(shown(notebook)) == []
    assert [cell.id for cell in notebook.cells if cell.metadata] == [], "when it ran is metadata"
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_explores_with_the_package_and_repeats_none_of_it(path: Path) -> None:
    for cell in code(read(path)):
        assert len(cell.source.splitlines()) <= MOST_LINES, f"cell {cell.id} is too long"
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, (ast.FunctionDef, ast.ClassDef)), f"cell {cell.id} defines"
            imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            imported += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert {name.partition(".")[0] for name in imported} <= EXPLORES_WITH


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_links_of_a_notebook_lead_somewhere(path: Path) -> None:
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert links
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_data_can_be_looked_at_before_the_pipeline_has_run(clone: Path) -> None:
    found = shown(executed(clone, "data-analysis"))
    assert "2,783 seedlings" in found
    assert "drawn by the simulator" in found


def test_the_data_notebook_shows_the_published_seedlings_once_adopted(
    tmp_path: Path, real_seedlings: Path
) -> None:
    adopted = "dataset/sources/file/Tree_Data.csv"
    root = copied(tmp_path / "clone", {"kind": "file", "path": adopted})
    shutil.copyfile(real_seedlings, root / adopted)
    assert "read as they were published" in shown(executed(root, "data-analysis"))


def test_the_model_notebook_says_what_to_do_where_the_pipeline_has_not_run(tmp_path: Path) -> None:
    for name in ("src", "notebooks"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="make repro"):
        executed(tmp_path, "model")


def test_the_model_notebook_reads_the_record_and_loads_the_artifact(reproduced: Path) -> None:
    found = shown(executed(reproduced, "model"))
    assert "is champion by" in found
    assert re.search(r"this maple dies with probability 0\.\d+, this oak 0\.\d+", found)
