"""What a large model takes of a worker is said when it is exported."""

import re
from pathlib import Path

import pytest

from tests.conftest import NAME, PARAMS, ROWS
from tests.trackers.training import Training
from treeline.stages import export

SAID = r"export seedlings: loading it takes [0-9,]+ MiB, in each worker process of each replica"


def test_a_model_is_large_from_some_size_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "params.yaml").write_text(PARAMS)
    source = tmp_path / "dataset" / "sources" / "file" / "seedlings.csv"
    source.parent.mkdir(parents=True)
    source.write_text(ROWS + "\n")
    training = Training(tmp_path, NAME)
    assert training.train()
    assert "loading it takes" not in capsys.readouterr().out
    monkeypatch.setattr(export, "LARGE_BYTES", 0)
    assert training.train("export")
    assert re.search(SAID, capsys.readouterr().out)
