"""The shared remote: which it is, what it lacks, and that git never points to what it has not."""

import json
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.delivery.forge import Forge
from tests.serving import ROOT
from treeline.delivery import storage
from treeline.errors import StorageError

SERVICE_ACCOUNT = json.dumps({"type": "service_account", "private_key": "k3y-0f-the-account"})
ARTIFACTS = ["model/flowers/artifact/", "model/sugar/artifact/"]
CONFIG = Path(".dvc/config.local")


def files_of(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def lone(forge: Forge) -> Forge:
    """Return a forge whose clone names no remote."""
    CONFIG.unlink()
    return forge


def test_a_folder_of_the_clone_is_no_shared_remote(lone: Forge) -> None:
    lone.clone.run("dvc", "remote", "add", "--default", "local", ".dvc/storage")
    assert storage.shared() is None


def test_a_folder_beside_the_clone_is_a_shared_remote(lone: Forge) -> None:
    lone.clone.run("dvc", "remote", "add", "--default", "beside", "../remote")
    assert storage.shared() == "beside"


def test_a_url_in_the_environment_is_made_the_remote_of_this_clone_only(
    lone: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = Path(".dvc/config").read_bytes()
    monkeypatch.setenv(storage.URL, str(lone.remote))
    assert storage.shared() == "shared"
    assert lone.clone.run("dvc", "remote", "default").stdout.split() == ["shared"]
    assert str(lone.remote) in CONFIG.read_text()
    assert Path(".dvc/config").read_bytes() == committed
    assert lone.clone.run("git", "status", "--porcelain").stdout == ""


def test_asking_again_changes_nothing_and_another_url_replaces_the_first(
    lone: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(storage.URL, str(lone.remote))
    storage.shared()
    first = CONFIG.read_bytes()
    storage.shared()
    assert CONFIG.read_bytes() == first
    monkeypatch.setenv(storage.URL, "s3://forest/dvc")
    assert storage.shared() == "shared"
    assert "s3://forest/dvc" in CONFIG.read_text() and str(lone.remote) not in CONFIG.read_text()


@pytest.mark.usefixtures("lone")
def test_a_clone_that_names_no_remote_has_none_and_an_empty_url_is_no_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(storage.URL, "")
    assert storage.shared() is None
    assert not CONFIG.exists()


@pytest.mark.usefixtures("lone")
@pytest.mark.parametrize(("credentials", "service"), [(SERVICE_ACCOUNT, True), ("no JSON", False)])
def test_google_drive_is_told_of_a_service_account_and_its_key_stays_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, *, credentials: str, service: bool
) -> None:
    monkeypatch.setenv(storage.URL, "gdrive://folder/dvc")
    monkeypatch.setenv(storage.CREDENTIALS, credentials)
    assert storage.shared() == "shared"
    assert ("gdrive_use_service_account = true" in CONFIG.read_text()) is service
    assert b"k3y-0f-the-account" not in files_of(Path.cwd())


def test_what_was_pushed_is_missing_no_more(forge: Forge) -> None:
    assert set(ARTIFACTS) < set(storage.missing())
    storage.push()
    assert storage.missing() == []
    assert forge.stored() == ["flowers 1", "sugar 1"]


def test_pulling_says_what_the_remote_lacks_and_fetches_the_rest(forge: Forge) -> None:
    forge.clone.run("dvc", "push", "export@sugar")
    forge.clone.run("rm", "-rf", ".dvc/cache", *ARTIFACTS)
    assert storage.pull() == ["model/flowers/artifact/"]
    assert Path("model/sugar/artifact/model.onnx").read_text() == "sugar 1"
    assert not Path("model/flowers/artifact/model.onnx").exists()


def test_a_file_lost_from_a_folder_is_missed_and_the_rest_is_fetched(forge: Forge) -> None:
    storage.push()
    (lost,) = [
        path
        for path in forge.remote.rglob("*")
        if path.is_file() and path.read_text() == "flowers 1"
    ]
    lost.unlink()
    forge.clone.run("rm", "-rf", ".dvc/cache", *ARTIFACTS)
    assert storage.missing() == ["model/flowers/artifact/model.onnx"]
    assert storage.pull() == ["model/flowers/artifact/model.onnx"]
    assert Path("model/sugar/artifact/model.onnx").read_text() == "sugar 1"


def replaced(forge: Forge, text: str, *, by: str) -> None:
    """Put other bytes into the remote's file, under the name that the former ones have."""
    (path,) = [
        path for path in forge.remote.rglob("*") if path.is_file() and path.read_text() == text
    ]
    path.chmod(0o644)
    path.write_text(by)


def test_bytes_that_git_does_not_name_are_not_taken(forge: Forge) -> None:
    storage.push()
    replaced(forge, "flowers 1", by="evil")
    forge.clone.run("rm", "-rf", ".dvc/cache", *ARTIFACTS)
    storage.shared()
    with pytest.raises(StorageError, match=r"flowers/artifact.* is not what git names"):
        storage.pull()
    assert b"evil" not in files_of(Path("model")) + files_of(Path(".dvc/cache"))


@pytest.mark.parametrize("lost", ["sugar 1"])
def test_nor_are_they_where_something_else_is_lost(forge: Forge, lost: str) -> None:
    storage.push()
    replaced(forge, "flowers 1", by="evil")
    next(p for p in forge.remote.rglob("*") if p.is_file() and p.read_text() == lost).unlink()
    forge.clone.run("rm", "-rf", ".dvc/cache", *ARTIFACTS)
    storage.shared()
    with pytest.raises(StorageError, match=r"flowers/artifact.* is not what git names"):
        storage.pull()
    assert b"evil" not in files_of(Path("model")) + files_of(Path(".dvc/cache"))


def test_every_remote_is_held_to_the_digests_of_git(
    forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("local", "s3", "gdrive"):
        assert f"remote.{name}.verify=true" in configured(ROOT / ".dvc" / "config")
    storage.shared()
    assert storage.settings()["remote.shared.verify"] == "true"
    forge.clone.run("dvc", "remote", "add", "--local", "--default", "beside", "../beside")
    storage.shared()
    assert storage.settings()["remote.beside.verify"] == "true"
    monkeypatch.setenv(storage.URL, "s3://forest/dvc")
    storage.shared()
    assert storage.settings()["remote.shared.verify"] == "true"


def configured(path: Path) -> set[str]:
    """Return the options of the remotes that a configuration declares."""
    parser = ConfigParser()
    parser.read(path)
    return {
        f"remote.{section[9:-2]}.{option}={value}"
        for section in parser.sections()
        if section.startswith("'remote ")
        for option, value in parser[section].items()
    }


def test_a_folder_that_is_not_there_is_no_empty_remote(forge: Forge) -> None:
    storage.push()
    forge.remote.rename(forge.root / "elsewhere")
    with pytest.raises(StorageError, match=r"is the folder .*/remote, which is not there"):
        storage.pull()


def test_a_remote_with_nothing_in_it_holds_nothing(forge: Forge) -> None:
    assert storage.holds_nothing(storage.missing())
    forge.clone.run("dvc", "push", "export@sugar")
    assert not storage.holds_nothing(storage.missing())


def test_pulling_one_target_leaves_the_others_away(forge: Forge) -> None:
    storage.push()
    forge.clone.run("rm", "-rf", ".dvc/cache", *ARTIFACTS)
    assert storage.pull("model/sugar/artifact") == []
    assert Path("model/sugar/artifact/model.onnx").read_text() == "sugar 1"
    assert not Path("model/flowers/artifact").exists()


def test_an_output_that_is_not_here_cannot_be_pushed_and_is_named(forge: Forge) -> None:
    forge.clone.run("rm", "-rf", ".dvc/cache", "model/sugar/artifact")
    with pytest.raises(StorageError, match=r"still lacks .*model/sugar/artifact"):
        storage.push()


@pytest.mark.usefixtures("unreachable")
@pytest.mark.parametrize("ask", [storage.push, storage.pull])
def test_a_remote_that_cannot_be_reached_is_told_and_nothing_changes(
    ask: object, forge: Forge
) -> None:
    assert storage.shared() == "shared"
    before = {path: path.read_bytes() for path in Path("model").rglob("*") if path.is_file()}
    with pytest.raises(StorageError) as told:
        ask()  # type: ignore[operator]
    assert "the remote `shared` cannot be" in str(told.value)
    assert "http://127.0.0.1:9" in str(told.value) and "make doctor" in str(told.value)
    assert "s3cret" not in str(told.value)
    assert {path: path.read_bytes() for path in before} == before
    assert forge.clone.run("git", "status", "--porcelain").stdout == ""


@pytest.mark.usefixtures("unreachable", "forge")
def test_variables_that_are_empty_are_as_good_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore takes an empty name of a profile for a profile, and says that it is not there."""
    monkeypatch.setenv("AWS_PROFILE", "")
    storage.shared()
    with pytest.raises(StorageError, match="Could not connect to the endpoint"):
        storage.missing()
