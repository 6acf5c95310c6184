"""What tests of commands share: a folder with a declaration, and what is left of its models."""

import shutil
from pathlib import Path

import pytest

from tests.checkout import ROOT


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with this repository's declaration, its lock file and its signatures."""
    for name in ("params.yaml", "dvc.lock"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    for signature in ROOT.glob("model/*/signature.json"):
        folder = tmp_path / "model" / signature.parent.name
        folder.mkdir(parents=True)
        shutil.copyfile(signature, folder / signature.name)
        rows = tmp_path / "dataset" / folder.name
        rows.mkdir(parents=True)
        (rows / "raw.parquet").write_text(f"rows of {folder.name}", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path
