"""`make forget`: a model goes with all its files, and nothing else changes."""

from pathlib import Path

import pytest

from tests.checkout import Checkout
from treeline.commands.forget import forget, leftovers
from treeline.errors import ConfigError

SHELVED = "model/sugar/signature.json"


def test_nothing_but_the_model_goes(checkout: Path) -> None:
    before = (checkout / "dvc.lock").read_text(encoding="utf-8")
    forget("iris")
    assert not (checkout / "model/iris").exists() and not (checkout / "dataset/iris").exists()
    assert (checkout / "model/wine/signature.json").is_file()
    after = (checkout / "dvc.lock").read_text(encoding="utf-8").splitlines()
    lost = [line for line in before.splitlines() if line.endswith("@iris:")]
    assert [line for line in after if "iris" in line] == []
    kept = [line for line in before.splitlines() if line.endswith(":") and "@" in line]
    assert len(lost) == len({line.partition("@")[0] for line in kept})
    assert [line for line in after if line.endswith(":") and "@" in line] == [
        line for line in kept if line not in lost
    ]
    assert set(after) <= set(before.splitlines())
    declared = (checkout / "params.yaml").read_text(encoding="utf-8")
    assert "  iris:" not in declared and "# who dies first" in declared


def test_comments_stay_with_what_they_are_about(checkout: Path) -> None:
    path = checkout / "params.yaml"
    text = path.read_text(encoding="utf-8")
    text = text.replace("  diabetes:\n", "  # of patients\n  diabetes:\n")
    path.write_text(text, encoding="utf-8")
    forget("iris")
    cut = text[: text.index("  iris:")] + text[text.index("  # of patients") :]
    assert path.read_text(encoding="utf-8") == cut
    forget("wine")
    assert path.read_text(encoding="utf-8") == (cut[: cut.index("  wine:")].rstrip("\n") + "\n")


def test_the_default_is_not_forgotten(checkout: Path) -> None:
    with pytest.raises(ConfigError, match=r"default: .tree-survival. answers .* name another one"):
        forget("tree-survival")
    assert (checkout / "model/tree-survival").is_dir()


def test_a_name_that_is_nowhere_is_told_with_those_there_are(checkout: Path) -> None:
    with pytest.raises(ConfigError, match="irsi: neither declared nor left over; there are"):
        forget("irsi")
    assert (checkout / "model/iris").is_dir()


def test_what_is_declared_no_more_is_left_over(checkout: Path) -> None:
    text = (checkout / "params.yaml").read_text(encoding="utf-8")
    (checkout / "params.yaml").write_text(text[: text.index("  iris:")], encoding="utf-8")
    assert leftovers() == ["diabetes", "iris", "wine"]
    for name in leftovers():
        forget(name)
    assert leftovers() == []
    assert [path.name for path in (checkout / "model").iterdir()] == ["tree-survival"]


def test_a_checkout_without_the_model_is_up_to_date(clone: Checkout) -> None:
    done = clone.python("-m", "treeline", "forget", "sugar")
    assert done.stdout.startswith("sugar is gone from params.yaml, dvc.lock, model/ and dataset/")
    assert "up to date" in clone.run("dvc", "status").stdout
    assert not (clone.root / SHELVED).exists()
    listed = clone.python("-m", "treeline", "forget", "--list")
    assert (listed.stdout.strip(), listed.stderr) == ("", "")
