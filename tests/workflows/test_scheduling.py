"""The scheduled look at the sources: nothing by the clock, everything by hashes."""

from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

from sklearn.datasets import load_diabetes

from tests.answering import answering
from tests.workflows.runner import Forge


def test_a_scheduled_run_that_finds_nothing_new_trains_nothing(forge: Forge) -> None:
    before = forge.main
    [run] = forge.wait_for_the_night()
    assert run.conclusion == "success"
    assert run.jobs["train"]["result"] == "skipped"
    assert "no training is due" in run.log
    assert forge.main == before


def test_any_release_is_made_again_each_month(forge: Forge) -> None:
    [run] = forge.wait_for_the_night("replay.yml")
    assert run.conclusion == "success"
    assert "same bytes" in run.log


def test_a_training_that_was_lost_is_made_up_for(forge: Forge) -> None:
    forge.clone.change("  sugar:\n", "  sugar:\n    description: How far will it have gone?\n")
    pushed = forge.push("Describe it, while no runner answers")
    runs = forge.wait_for_the_night()
    assert [run.conclusion for run in runs] == ["success"]
    assert "export@sugar is out of date" in runs[0].log
    assert forge.git("rev-parse", "main^") == pushed
    assert "Reason: scheduled" in forge.git("log", "-1", "--format=%b", "main")


def test_rows_that_changed_at_their_source_are_trained_from(forge: Forge, tmp_path: Path) -> None:
    frame = load_diabetes(as_frame=True).frame
    frame.head(400).to_csv(tmp_path / "rows.csv", index=False)
    with answering(_Files, folder=tmp_path) as url:
        source = f"source: {{kind: url, url: {url}/rows.csv}}"
        forge.clone.change("source: {kind: library, dataset: diabetes}", source)
        (forge.clone.root / "dataset/sources/url").mkdir(parents=True, exist_ok=True)
        forge.clone.run("dvc", "repro")
        forge.push("Take the rows from their own server")
        forge.clone.python("-m", "treeline", "publish")
        frame.to_csv(tmp_path / "rows.csv", index=False)
        [run] = forge.wait_for_the_night()
    assert run.conclusion == "success"
    assert "prepare@sugar is out of date" in run.log
    [comment] = forge.comments()
    assert "| rows collected | 400 | 442 |" in comment["body"]


class _Files(SimpleHTTPRequestHandler):
    """Gives the files of a folder, and says nothing of it."""

    folder: Path

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments, directory=str(self.folder))

    def log_message(self, *_: object) -> None:
        pass
