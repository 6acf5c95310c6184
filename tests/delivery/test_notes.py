"""What one command of a run leaves for the next."""

from pathlib import Path

import pytest

from treeline.delivery import notes
from treeline.delivery.notes import (
    FILES,
    Compared,
    Contest,
    Failure,
    Monitored,
    Note,
    Published,
    Reproduced,
    RunError,
)
from treeline.errors import GateError, RecordError

NOTES: tuple[Note, ...] = (
    Reproduced([Failure("gate", "sugar", "r2 is 0.01", refused=True)], {"flowers": "no rows"}),
    Compared("abc", accepted=True, models={"sugar": Contest(False, None, "rmse rose")}),
    Published("abc", changed=True, held={"sugar": "refused"}, repeated=["sugar"], removed=[]),
    Monitored(["sugar"]),
    RunError("pull", "`shared` cannot be read"),
)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_there_is_a_case_for_every_note() -> None:
    assert {type(note) for note in NOTES} == set(FILES)


@pytest.mark.parametrize("note", NOTES, ids=lambda note: type(note).__name__)
def test_what_is_read_is_what_was_written(note: Note) -> None:
    assert notes.read(type(note)) is None
    notes.write(note)
    assert notes.read(type(note)) == note
    notes.clear()
    assert notes.read(type(note)) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "document: Invalid JSON"),
        ("[]", "document: Input should be an object"),
        ('{"base": "abc", "accepted": "yes", "models": {}}', "accepted: Input should be a valid"),
        ('{"base": "abc", "accepted": false}', "models: Field required"),
        (
            '{"base": "abc", "accepted": false, "models": {"sugar": {"good": true}}}',
            "models.sugar.version: Field required",
        ),
    ],
)
def test_a_file_that_is_no_note_is_named_with_the_place_and_the_way_out(
    text: str, message: str
) -> None:
    FILES[Compared].parent.mkdir(parents=True)
    FILES[Compared].write_text(text)
    with pytest.raises(RecordError) as error:
        notes.read(Compared)
    assert str(error.value).startswith(f"build/run/compared.json: {message}")
    assert str(error.value).endswith("; no command writes it so: start the run anew")


def test_an_error_is_noted_with_its_command_and_raised_on() -> None:
    with pytest.raises(GateError), notes.recording_error("retrain"):
        raise GateError("refused")
    assert notes.read(RunError) == RunError("retrain", "refused")
