"""An old version is made again from its commit, and what differs is named."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.checkout import Checkout
from treeline.commands.replay import replay_version, to_text
from treeline.delivery.releasing import Entry, entered
from treeline.errors import ProvenanceError
from treeline.provenance.replaying import Replay


def version_of(clone: Checkout) -> str:
    return str(json.loads((clone.root / "model/flowers/signature.json").read_text())["version"])


def test_a_version_is_made_again_byte_by_byte_whatever_has_come_since(
    clone: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clone.root)
    version = version_of(clone)
    commit = clone.run("git", "rev-parse", "HEAD").stdout.strip()
    refspec = entered(Entry(commit, {"flowers": version}, {"flowers": commit}))
    clone.run("git", "update-ref", "refs/remotes/origin/released", refspec.partition(":")[0])
    clone.change("test: 0.3, seed: 0", "test: 0.2, seed: 1")
    clone.commit("Split otherwise")
    stages: list[str] = []
    done = replay_version("", by_chance=True, on_stage=stages.append)
    assert done is not None
    assert (done.version, done.commit, done.outcome) == (version, commit, "same bytes")
    assert done.rows > 0
    assert stages == ["prepare", "train", "evaluate", "gate", "export"]
    assert clone.run("git", "status", "--porcelain").stdout == ""


def test_what_its_commit_cannot_make_is_named(
    clone: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clone.root)
    _edit(Path("params.yaml"), "LogisticRegression}", "LogisticRegression, options: {C: 0.01}}")
    _edit(Path("model/flowers/signature.json"), version_of(clone), "0123456789ab")
    clone.commit("Commit what no stage has made")
    done = replay_version("0123456789ab")
    assert done is not None
    assert done.outcome == "other predictions"
    assert not done.good
    assert "model/flowers/signature.json" in done.changed
    assert done.metrics
    assert done.difference > 0
    assert "other predictions" in to_text(done)


@pytest.mark.parametrize(
    ("differs", "outcome"),
    [
        ({}, "same bytes"),
        ({"changed": ("card.md",)}, "same predictions"),
        ({"changed": ("model.pkl",), "difference": 1e-7}, "same predictions"),
        ({"changed": ("model.pkl",), "difference": 1e-3}, "other predictions"),
        ({"changed": ("model.pkl",), "labels": 1}, "other predictions"),
        ({"changed": ("metrics.json",), "metrics": {"f1": (0.9, 0.900001)}}, "same predictions"),
        ({"changed": ("model.pkl",), "rows": 0}, "same metrics"),
        (
            {"changed": ("model.pkl",), "rows": 0, "metrics": {"f1": (0.9, 0.8)}},
            "other predictions",
        ),
    ],
)
def test_predictions_agree_within_the_tolerance_of_the_export(
    differs: dict[str, Any], outcome: str
) -> None:
    same = Replay("flowers", "v", "c", (), {}, {}, 45, 0, 0.0, tolerance=1e-5)
    assert replace(same, **differs).outcome == outcome


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_what_nobody_knows_is_not_made_again(
    clone: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clone.root)
    with pytest.raises(ProvenanceError, match="no signature in the history"):
        replay_version("0123456789ab")
    assert replay_version("", by_chance=True) is None
