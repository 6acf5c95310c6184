"""A file of the user's own becomes the source of a model; one that cannot be changes nothing."""

import csv
from pathlib import Path

import pytest

from tests.checkout import Checkout
from treeline.config import read_params
from treeline.config.sources import FileSource

ADOPT = ("-m", "treeline", "adopt")


def _flowers(path: Path, *, header: bool = True) -> Path:
    """Write rows as a spreadsheet of another country would: BOM, CRLF, quotes, other columns."""
    rows = [
        (f'flower "{n}", wild', n % 3 + 0.5, "NA" if n == 5 else n / 40, "abc"[n % 3])
        for n in range(60)
    ]
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\r\n", quoting=csv.QUOTE_NONNUMERIC)
        if header:
            writer.writerow(["note", "petal width (cm)", "petal length (cm)", "species"])
        writer.writerows(rows)
    return path


def test_a_file_becomes_the_source_and_is_tracked_by_dvc(fresh: Checkout, tmp_path: Path) -> None:
    file = _flowers(tmp_path / "wild.csv")
    said = fresh.python(*ADOPT, "flowers", str(file)).stdout
    assert "dataset/sources/file/wild.csv" in said
    source = read_params(fresh.root / "params.yaml").models["flowers"].source
    assert isinstance(source, FileSource)
    assert (source.kind, source.path) == ("file", "dataset/sources/file/wild.csv")
    assert (fresh.root / "dataset/sources/file/wild.csv").read_bytes() == file.read_bytes()
    tracked = fresh.run("git", "status", "--porcelain", "--untracked-files=all").stdout
    assert "wild.csv.dvc" in tracked and "wild.csv\n" not in tracked


def test_nothing_else_of_the_declaration_changes(fresh: Checkout, tmp_path: Path) -> None:
    before = (fresh.root / "params.yaml").read_text().splitlines()
    fresh.python(*ADOPT, "flowers", str(_flowers(tmp_path / "wild.csv")))
    after = (fresh.root / "params.yaml").read_text().splitlines()
    changed = [line for line in before if line not in after]
    assert changed == ["    source: {kind: library, dataset: iris, labels: species}"]
    assert len(after) == len(before)


def test_the_pipeline_runs_on_it_and_sees_when_it_changes(fresh: Checkout, tmp_path: Path) -> None:
    fresh.change(
        "      petal length (cm): {type: number, minimum: 0}",
        "      petal length (cm): {type: number, fill: 0}",
    )
    fresh.python(*ADOPT, "flowers", str(_flowers(tmp_path / "wild.csv")))
    fresh.run("dvc", "repro", "prepare@flowers")
    assert "up to date" in fresh.run("dvc", "status", "prepare@flowers").stdout
    tracked = fresh.root / "dataset/sources/file/wild.csv"
    tracked.write_text(tracked.read_text().replace('"abc"', '"x"') + '"a",1,2,"c"\r\n')
    assert "Running stage 'collect@flowers'" in fresh.run("dvc", "repro", "prepare@flowers").stdout


def test_a_second_clone_pulls_it(fresh: Checkout, tmp_path: Path) -> None:
    fresh.python(*ADOPT, "flowers", str(_flowers(tmp_path / "wild.csv")))
    fresh.run("dvc", "push")
    fresh.commit("Adopt wild flowers")
    fresh.run("git", "clone", "--quiet", ".", str(tmp_path / "second"))
    second = Checkout(tmp_path / "second")
    storage = str(fresh.root / ".dvc" / "storage")
    second.run("dvc", "remote", "modify", "--local", "local", "url", storage)
    second.run("dvc", "pull", "dataset/sources/file/wild.csv")
    assert second.bytes_of("dataset/sources/file/*") == fresh.bytes_of("dataset/sources/file/*")


@pytest.mark.parametrize(
    ("model", "content", "told"),
    [
        ("flowers", "species,petal length (cm)\na,1\n", "no column 'petal width (cm)'"),
        ("flowers", "", "Empty"),
        ("roses", "a\n1\n", "models.roses: not declared; there are flowers, sugar"),
    ],
    ids=["a declared column is missing", "the file is empty", "the model is not declared"],
)
def test_what_cannot_be_adopted_changes_nothing(
    fresh: Checkout, tmp_path: Path, model: str, content: str, told: str
) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(content)
    done = fresh.python(*ADOPT, model, str(file), good=False)
    assert told.lower() in done.stderr.lower()
    assert fresh.run("git", "status", "--porcelain").stdout == ""


def test_a_file_that_is_not_there_is_named(fresh: Checkout) -> None:
    assert (
        "nowhere.csv: not a file"
        in fresh.python(*ADOPT, "flowers", "nowhere.csv", good=False).stderr
    )
