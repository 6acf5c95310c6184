"""The processes in the container of a job, called here: what they take, and what they refuse."""

import io
import socket
import tarfile
import threading
from pathlib import Path

import pytest

from treeline.jobs import handing, inside
from treeline.jobs.exits import RUNNER, Ended


def packed(**files: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name.replace("__", "/"))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    folders = {name: tmp_path / name for name in ("taken", "made")}
    for each in folders.values():
        each.mkdir()
    return folders


def test_inputs_are_there_whole_or_not_at_all(folders: dict[str, Path]) -> None:
    sent = packed(dataset=b"1" * 100_000)
    with pytest.raises(EOFError, match=rf"50000 bytes of {len(sent)} came"):
        handing.take(io.BytesIO(sent[:50_000]), len(sent), **folders)
    assert list(folders["taken"].iterdir()) == []
    waiting = threading.Thread(target=handing.wait, args=(folders["taken"],), daemon=True)
    waiting.start()
    handing.take(io.BytesIO(sent + b"more"), len(sent), **folders)
    waiting.join(30)
    assert not waiting.is_alive()
    assert (folders["taken"] / "input" / "dataset").read_bytes() == b"1" * 100_000
    assert (folders["made"] / "result").read_bytes() == b""


def test_what_is_sent_twice_stays_as_it_came_first(folders: dict[str, Path]) -> None:
    for content in (b"first", b"second"):
        sent = packed(dataset=content)
        handing.take(io.BytesIO(sent), len(sent), **folders)
    assert (folders["taken"] / "input" / "dataset").read_bytes() == b"first"
    assert [each.name for each in folders["taken"].iterdir()] == ["input"]


def test_no_name_leads_out_of_the_folder(folders: dict[str, Path]) -> None:
    sent = packed(**{"..__..__outside": b"x"})
    with pytest.raises(tarfile.OutsideDestinationError):
        handing.take(io.BytesIO(sent), len(sent), **folders)
    assert list(folders["taken"].iterdir()) == []


def test_a_job_begins_only_where_it_does_not_reach_what_it_must_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inside, "SHUT_SECONDS", 0.0)
    inside.check_enclosed("")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(Ended, match=f"it reaches {address}, which it must not") as ended:
            inside.check_enclosed(address)
        assert ended.value.code == RUNNER
    inside.check_enclosed(address)
