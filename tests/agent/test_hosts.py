"""What a host does with a release and its settings, by the words that it gives other programs.

The programs are scripts that write down what they were told; tests/agent/test_following.py and
test_systemd.py have the real ones.
"""

import hashlib
import json
import os
import stat
import tarfile
from io import BytesIO
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.agent.documents import Documents, Server
from tests.answering import answering
from treeline.agent.containers import ContainerHost
from treeline.agent.environments import EnvironmentHost
from treeline.agent.settings import AgentSettings
from treeline.agent.state import Placement, Release
from treeline.cli.server import agent
from treeline.errors import AgentError

RELEASE = Release(image=f"r.example/a/b@sha256:{'1' * 64}")
PLACEMENT = Placement(slot="blue", release=RELEASE)

# An engine with one container: `create` writes its labels down, `start` and `stop` its state.
ENGINE = """\
import json, pathlib, sys
here, words = pathlib.Path(__file__).parent, sys.argv[1:]
file, image = here / "container.json", here / "image"
with (here / "log").open("a") as log:
    log.write(" ".join(words) + "\\n")
if words[:2] == ["container", "inspect"]:
    sys.exit(print("[" + file.read_text() + "]") if file.exists() else 1)
if words[:2] == ["image", "inspect"]:
    sys.exit(0 if image.exists() else 1)
if words[:2] == ["network", "inspect"]:
    print("[{}]")
if words[0] == "pull":
    image.touch()
if words[0] == "create":
    given = [words[at + 1] for at, word in enumerate(words) if word == "--label"]
    labels = dict(each.split("=") for each in given)
    file.write_text(json.dumps({"Config": {"Labels": labels}, "State": {"Running": False}}))
if words[0] in ("start", "stop"):
    document = json.loads(file.read_text())
    document["State"]["Running"] = words[0] == "start"
    file.write_text(json.dumps(document))
if words[0] == "rm":
    file.unlink()
"""
SYSTEMCTL = """\
import pathlib, sys
with (pathlib.Path(__file__).parent / "log").open("a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
if sys.argv[1] == "show":
    print("inactive")
"""


def program(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a program before all others, and return the file in which it logs its words."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/usr/bin/env python3\n" + text)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder / "log"


def verbs(log: Path) -> list[str]:
    """Return what changed something, and forget it."""
    words = [line.split()[0] for line in log.read_text().splitlines()]
    log.write_text("")
    return [word for word in words if word in {"pull", "create", "start", "stop", "rm", "restart"}]


@pytest.fixture
def settings(tmp_path: Path) -> AgentSettings:
    return AgentSettings(
        image="r.example/a/b:c",
        host="podman",
        state_dir=tmp_path / "state",
        environment_file=tmp_path / "service.env",
    )


def test_an_image_that_is_here_is_not_asked_for(
    settings: AgentSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = program(tmp_path / "bin", "podman", ENGINE, monkeypatch)
    host = ContainerHost(settings)
    host.fetch(RELEASE)
    assert verbs(log) == ["pull"]
    host.fetch(RELEASE)
    assert verbs(log) == []


def test_a_container_keeps_the_settings_it_was_made_with_until_its_slot_is_cleared(
    settings: AgentSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = program(tmp_path / "bin", "podman", ENGINE, monkeypatch)
    host = ContainerHost(settings)
    host.start(PLACEMENT)
    assert verbs(log) == ["create", "start"]
    assert host.is_current(PLACEMENT)
    (tmp_path / "service.env").write_text("# only a remark\n")
    assert host.is_current(PLACEMENT)
    (tmp_path / "service.env").write_text("API_KEYS=somebody\n")
    assert not host.is_current(PLACEMENT)
    host.stop("blue")
    host.start(PLACEMENT)
    assert verbs(log) == ["stop", "start"], "what served yesterday serves after a boot"
    host.clear("blue")
    host.start(PLACEMENT)
    assert verbs(log) == ["stop", "rm", "create", "start"]
    assert host.is_current(PLACEMENT)
    more = ContainerHost(settings.model_copy(update={"options": ("--memory=2g",)}))
    assert not more.is_current(PLACEMENT)


MADE_SECONDS = 1_000_000_000  # of every file


def layer(files: dict[str, str]) -> bytes:
    """Return a layer of an image that holds these files."""
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(text), MADE_SECONDS
            archive.addfile(member, BytesIO(text.encode()))
    return packed.getvalue()


def test_a_release_is_marked_whole_when_all_of_it_is_on_the_disk(
    settings: AgentSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = layer({"app/requirements.txt": "", "app/model/a.txt": "a", "etc/passwd": "not ours"})
    digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
    manifest = json.dumps({"layers": [{"digest": digest}]}).encode()
    named = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    bodies = {f"/v2/a/b/manifests/{named}": manifest, f"/v2/a/b/blobs/{digest}": blob}
    seen: list[set[str]] = []
    folder = settings.state_dir / "releases" / named.partition(":")[2][:16]
    monkeypatch.setattr(os, "sync", lambda: seen.append({each.name for each in folder.iterdir()}))
    with answering(Server, documents=Documents(bodies)) as url:
        EnvironmentHost(settings).fetch(Release(image=f"{url.removeprefix('http://')}/a/b@{named}"))
    assert seen == [{"app", "venv"}]
    assert (folder / "complete.json").exists()
    file = folder / "app" / "model" / "a.txt"
    assert (file.read_text(), file.stat().st_mtime) == ("a", MADE_SECONDS)  # as bytecode says it
    assert not list(folder.rglob("passwd"))


def test_a_unit_starts_on_a_full_disk_when_nothing_is_to_be_written(
    settings: AgentSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = program(tmp_path / "bin", "systemctl", SYSTEMCTL, monkeypatch)
    host, slots = EnvironmentHost(settings), settings.state_dir / "slots"
    (settings.state_dir / "releases" / ("1" * 16)).mkdir(parents=True)
    (settings.state_dir / "releases" / ("1" * 16) / "complete.json").write_text("{}")
    host.start(PLACEMENT)
    before = (slots / "blue.env").stat().st_ino  # a file that is replaced is another one
    host.start(PLACEMENT)
    assert (slots / "blue.env").stat().st_ino == before
    assert verbs(log) == ["restart", "restart"]
    assert host.is_current(PLACEMENT)
    (tmp_path / "service.env").write_text("API_KEYS=somebody\n")
    assert not host.is_current(PLACEMENT)


def test_a_slot_that_cannot_be_written_is_said(
    settings: AgentSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "bin", "systemctl", SYSTEMCTL, monkeypatch)
    (settings.state_dir / "releases" / ("1" * 16)).mkdir(parents=True)
    (settings.state_dir / "releases" / ("1" * 16) / "complete.json").write_text("{}")
    (settings.state_dir / "slots").write_text("no folder")
    with pytest.raises(AgentError, match="slots"):
        EnvironmentHost(settings).start(PLACEMENT)


def test_what_the_agent_writes_can_be_read_by_the_units(tmp_path: Path) -> None:
    config, folder = tmp_path / "agent.toml", tmp_path / "state"
    config.write_text(f'image = "r.example/a/b:c"\nstate_dir = {json.dumps(str(folder))}\n')
    before = os.umask(0o077)
    try:
        CliRunner().invoke(agent, ["--config", str(config), "retry"])
    finally:
        os.umask(before)
    assert stat.filemode(folder.stat().st_mode) == "drwxr-xr-x"
    assert stat.filemode((folder / "lock").stat().st_mode) == "-rw-r--r--"
