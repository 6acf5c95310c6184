"""Files and folders are replaced whole, or stay as they were."""

import hashlib
import json
from pathlib import Path

import pytest

from treeline.files import CHUNK_BYTES, digest, replacing, replacing_folder, write_json, write_text


def content(folder: Path) -> dict[str, str]:
    """Return every file below a folder, hidden ones too: its relative path and its text."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def test_a_file_is_replaced_once_the_block_is_done(tmp_path: Path) -> None:
    target = tmp_path / "report.md"
    target.write_text("old")
    with replacing(target) as draft:
        draft.write_text("new")
        assert target.read_text() == "old"
    assert content(tmp_path) == {"report.md": "new"}


def test_the_folder_of_a_file_is_made_where_it_is_missing(tmp_path: Path) -> None:
    write_text(tmp_path / "model" / "iris" / "card.md", "# Iris")
    assert content(tmp_path) == {"model/iris/card.md": "# Iris"}


def test_a_file_stays_as_it_was_when_the_block_raises(tmp_path: Path) -> None:
    target = tmp_path / "report.md"
    target.write_text("old")
    with pytest.raises(RuntimeError, match="halfway"), replacing(target) as draft:
        draft.write_text("half")
        raise RuntimeError("halfway")
    assert content(tmp_path) == {"report.md": "old"}


def test_a_folder_is_replaced_with_all_it_held(tmp_path: Path) -> None:
    target = tmp_path / "images"
    (target / "of last year").mkdir(parents=True)
    (target / "of last year" / "roc.png").write_text("old")
    with replacing_folder(target) as draft:
        assert content(draft) == {}
        (draft / "nested").mkdir()
        (draft / "nested" / "new.png").write_text("new")
        assert content(target) == {"of last year/roc.png": "old"}
    assert content(tmp_path) == {"images/nested/new.png": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_a_folder_is_made_where_there_was_none(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "model" / "iris" / "plots") as draft:
        (draft / "roc.csv").write_text("x,y\n")
    assert content(tmp_path) == {"model/iris/plots/roc.csv": "x,y\n"}


def test_a_folder_stays_as_it_was_when_the_block_raises(tmp_path: Path) -> None:
    target = tmp_path / "images"
    target.mkdir()
    (target / "roc.png").write_text("old")
    with pytest.raises(RuntimeError, match="halfway"), replacing_folder(target) as draft:
        (draft / "roc.png").write_text("half")
        raise RuntimeError("halfway")
    assert content(tmp_path) == {"images/roc.png": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_a_folder_is_moved_back_when_its_draft_cannot_take_its_place(tmp_path: Path) -> None:
    target = tmp_path / "images"
    target.mkdir()
    (target / "roc.png").write_text("old")
    with pytest.raises(FileNotFoundError), replacing_folder(target) as draft:
        draft.rmdir()
    assert content(tmp_path) == {"images/roc.png": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_json_is_indented_and_keeps_every_script(tmp_path: Path) -> None:
    target = tmp_path / "summary.json"
    write_json(target, {"unit": "°C", "rows": 3})
    assert target.read_text() == '{\n  "unit": "°C",\n  "rows": 3\n}\n'
    assert json.loads(target.read_text()) == {"unit": "°C", "rows": 3}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_refuses_what_json_does_not_have(tmp_path: Path, value: float) -> None:
    target = tmp_path / "metrics.json"
    write_json(target, {"f1": 0.9})
    with pytest.raises(ValueError, match="JSON"):
        write_json(target, {"f1": value})
    assert json.loads(target.read_text()) == {"f1": 0.9}
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_a_digest_is_the_sha256_of_the_whole_file(tmp_path: Path, size: int) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x07" * size)
    assert digest(path) == hashlib.sha256(b"\x07" * size).hexdigest()
