"""`treeline rename`: a model has another name, and nothing else changes."""

from pathlib import Path

import pytest

from treeline.commands.forget import leftovers
from treeline.commands.rename import rename, renamed
from treeline.config import read_params
from treeline.errors import ConfigError


@pytest.mark.parametrize("old", ["iris", "tree-survival"])
def test_a_model_has_another_name_and_the_same_rows(checkout: Path, old: str) -> None:
    before, lock = read_params(), (checkout / "dvc.lock").read_text(encoding="utf-8")
    assert "make train MODEL=irises" in rename(old, "irises")
    after = read_params()
    assert list(after.models.values()) == list(before.models.values())
    assert after.default == ("irises" if old == before.default else before.default)
    assert (checkout / "dataset/irises/raw.parquet").read_text("utf-8") == f"rows of {old}"
    assert not (checkout / "dataset" / old).exists() and not (checkout / "model" / old).exists()
    assert leftovers() == []
    left = (checkout / "dvc.lock").read_text(encoding="utf-8").splitlines()
    assert [line for line in left if line.endswith(f"@{old}:")] == []
    assert set(left) <= set(lock.splitlines())


SPELT = {
    "bare": ("default: iris # served\nmodels:\n  iris: {a: iris}\n  wine: {}\n"),
    "in quotes": ("default: 'iris'\nmodels:\n  \"iris\": {a: iris}\n  wine: {}\n"),
    "not the default": ("default: wine\nmodels:\n  wine: {}\n  iris: # iris\n    a: iris\n"),
    "line ends of Windows": ("default: wine\r\nmodels:\r\n  wine: {}\r\n  iris: {}\r\n"),
}


@pytest.mark.parametrize("text", SPELT.values(), ids=SPELT)
def test_every_other_character_stays(text: str) -> None:
    places = ("default: iris", "default: 'iris'", '"iris":', "  iris:")
    expected = text
    for place in places:
        expected = expected.replace(place, place.replace("iris", "lily"))
    assert renamed(text, "iris", "lily") == expected
    assert renamed(renamed(text, "iris", "lily"), "lily", "iris") == text


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("irsi", "lily", "irsi: not declared; declared are tree-survival"),
        ("iris", "Lily!", "made of lowercase letters"),
        ("iris", "wine", "wine: there is such a model"),
        ("iris", "kept", "kept: there is such a model, or what is left of one"),
    ],
)
def test_what_cannot_be_renamed_stays_as_it_is(
    checkout: Path, old: str, new: str, complaint: str
) -> None:
    (checkout / "dataset/kept").mkdir()
    text = (checkout / "params.yaml").read_bytes()
    with pytest.raises(ConfigError, match=complaint):
        rename(old, new)
    assert (checkout / "params.yaml").read_bytes() == text
    assert (checkout / "dataset/iris/raw.parquet").is_file()


def test_a_key_that_is_spelt_in_a_way_of_its_own_is_left_to_a_person() -> None:
    with pytest.raises(ConfigError, match=r"line 2: 'iris' is spelt in a way of its own"):
        renamed('models:\n  "ir\\x69s": {}\ndefault: wine\n', "iris", "lily")
