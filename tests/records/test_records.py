"""What stages write is read as they write it, or refused with the file and the key."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.checkout import ROOT
from treeline.errors import RecordError
from treeline.records.evaluation import read_evaluation, write_evaluation
from treeline.records.summary import read_summary, write_summary
from treeline.records.training import read_training, write_training

Read = Callable[[Path], Any]
Write = Callable[[Path, Any], None]

MODELS = ("diabetes", "iris", "tree-survival", "wine")
KINDS: dict[str, tuple[str, Read, Write]] = {
    "evaluation": ("model/{}/evaluation.json", read_evaluation, write_evaluation),
    "training": ("model/{}/training.json", read_training, write_training),
    "summary": ("dataset/{}/summary.json", read_summary, write_summary),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", MODELS)
def test_a_file_that_is_read_and_written_has_the_same_bytes(
    kind: str, model: str, tmp_path: Path
) -> None:
    place, read, write = KINDS[kind]
    source, copy = ROOT / place.format(model), tmp_path / "copy.json"
    write(copy, read(source))
    assert copy.read_bytes() == source.read_bytes()


def changed(kind: str, change: Callable[[Any], object], folder: Path) -> Path:
    """Return a copy of a file of the flagship in which something is otherwise."""
    place, _, _ = KINDS[kind]
    document = json.loads((ROOT / place.format("tree-survival")).read_text(encoding="utf-8"))
    change(document)
    path = folder / Path(place).name
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("kind", "change", "fault"),
    [
        ("evaluation", lambda it: it.pop("champion"), "champion: missing"),
        ("evaluation", lambda it: it["champion"]["f1"].pop("low"), "champion.f1.low: missing"),
        (
            "evaluation",
            lambda it: it["baseline"]["f1"].update(value="0.9"),
            "baseline.f1.value: should be a number (found '0.9')",
        ),
        (
            "training",
            lambda it: it.update(metric=None),
            "metric: should be a text (put it in quotes) (found nothing)",
        ),
        (
            "training",
            lambda it: it["candidates"]["logistic"].pop("folds"),
            "candidates.logistic.folds: missing",
        ),
        ("summary", lambda it: it["rows"].pop("test"), "rows.test: missing"),
        ("summary", lambda it: it["leaks"]["twins"].pop("share"), "leaks.twins.share: missing"),
    ],
)
def test_what_is_not_as_a_stage_writes_it_is_named_by_file_and_key(
    kind: str, change: Callable[[Any], object], fault: str, tmp_path: Path
) -> None:
    path = changed(kind, change, tmp_path)
    with pytest.raises(RecordError) as caught:
        KINDS[kind][1](path)
    assert str(caught.value) == (
        f"{path}: {fault}; no stage writes it so: fetch it again (dvc checkout), or make it anew "
        "(make repro)"
    )


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text('{"champion": {', encoding="utf-8")
    with pytest.raises(RecordError, match=r"evaluation\.json: no JSON: "):
        read_evaluation(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_of_another_release_is_left_as_it_is(kind: str, tmp_path: Path) -> None:
    path = changed(kind, lambda it: it.update(later={"a": 1}), tmp_path)
    assert KINDS[kind][1](path)["later"] == {"a": 1}


def test_an_evaluation_of_an_earlier_release_says_less(tmp_path: Path) -> None:
    def earlier(document: Any) -> None:
        for key in ("judged", "slices", "calibration", "thresholds", "learning_curve", "answers"):
            del document[key]

    assert read_evaluation(changed("evaluation", earlier, tmp_path))["rows"] > 0
