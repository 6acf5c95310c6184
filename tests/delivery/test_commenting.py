"""A report becomes a comment: by CML where it is, else by GitHub's own client."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from threading import Thread
from typing import Any

import pytest

from treeline.delivery.commenting import on_commit, on_pull_request
from treeline.delivery.report import MARK
from treeline.errors import DeliveryError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "ghs_theTokenOfTheRun"
TEXT = f'{MARK}\n\n# Trained: sugar\n\n@nobody, 100 % of "it"\n'
BOT: dict[str, Any] = {"user": {"type": "Bot"}, "author_association": "NONE"}
STRANGER: dict[str, Any] = {"user": {"type": "User"}, "author_association": "CONTRIBUTOR"}
MEMBER: dict[str, Any] = {"user": {"type": "User"}, "author_association": "MEMBER"}
STAND_IN = """\
#!{python}
import json, os, sys
with open({record!r}, "w") as file:
    json.dump({{"arguments": sys.argv[1:], "environment": dict(os.environ)}}, file)
print({answer!r})
sys.exit({code})
"""


@dataclass
class Tool:
    """An executable that only writes down how it was called."""

    record: Path

    def call(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.record.read_text())
        return found


def stand_in(folder: Path, name: str, *, code: int = 0, answer: str = "") -> Tool:
    folder.mkdir(exist_ok=True)
    tool = Tool(folder / f"{name}.json")
    text = STAND_IN.format(python=sys.executable, record=str(tool.record), answer=answer, code=code)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    return tool


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only folder on PATH, with nothing in it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("GH_TOKEN", TOKEN)
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/forest")
    return folder


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.md"
    path.write_text(TEXT)
    return path


@dataclass
class GitHub:
    """The comments of a repository, and who asked for what."""

    comments: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str, str]] = field(default_factory=list)


class _Api(BaseHTTPRequestHandler):
    github: GitHub

    def address_string(self) -> str:
        return "a socket"  # which has no name

    def log_message(self, *_: object) -> None:
        pass

    def answer(self) -> None:
        body = json.loads(self.sent()) if self.command != "GET" else {}
        told = (self.command, self.path, self.headers.get("Authorization", ""))
        self.github.requests.append(told)
        if self.command == "GET":
            self.reply(self.github.comments)
            return
        if self.command == "PATCH":
            number = int(self.path.rpartition("/")[2])
            [comment] = [each for each in self.github.comments if each["id"] == number]
        else:
            comment = {"id": len(self.github.comments) + 1, **BOT}
            self.github.comments.append(comment)
        comment |= body | {"html_url": f"https://github.com/comment/{comment['id']}"}
        self.reply(comment)

    do_GET = do_POST = do_PATCH = answer

    def sent(self) -> bytes:
        """Read a body, which `gh` sends in chunks."""
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def reply(self, document: object) -> None:
        payload = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)


class _Socket(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True


@pytest.fixture
def github(tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """Give a GitHub behind a socket, and the real `gh`, which is told to ask there."""
    real = shutil.which("gh", path=os.defpath)
    if real is None:
        pytest.skip("gh, GitHub's client, is not installed")
    (tools / "gh").symlink_to(real)
    settings = tmp_path / "gh"
    settings.mkdir()
    socket = tmp_path / "socket"
    (settings / "config.yml").write_text(f"http_unix_socket: {socket}\n")
    monkeypatch.setenv("GH_CONFIG_DIR", str(settings))
    monkeypatch.setenv("GH_HOST", "github.localhost")  # the host it asks without TLS
    found = GitHub()
    with _Socket(str(socket), type("_Of", (_Api,), {"github": found})) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def test_cml_is_asked_in_its_documented_form_and_told_to_report_nothing(
    tools: Path, report: Path
) -> None:
    cml = stand_in(tools, "cml", answer="https://github.com/acme/forest/commit/0123#comment")
    assert on_commit(COMMIT, report) == "https://github.com/acme/forest/commit/0123#comment"
    call = cml.call()
    target, publish = f"--target=commit/{COMMIT}", "--publish=false"
    assert call["arguments"] == [
        "comment", "create", target, publish, "--rm-watermark", str(report),
    ]  # fmt: skip
    assert call["environment"]["ITERATIVE_DO_NOT_TRACK"] == "1"
    assert call["environment"]["REPO_TOKEN"] == TOKEN


def test_where_cml_answers_gh_only_looks_for_an_earlier_comment(tools: Path, report: Path) -> None:
    stand_in(tools, "cml")
    gh = stand_in(tools, "gh")
    on_commit(COMMIT, report)
    assert "--method" not in gh.call()["arguments"]


def test_the_token_is_on_no_command_line(tools: Path, report: Path) -> None:
    called = [stand_in(tools, "cml", code=1), stand_in(tools, "gh")]
    on_commit(COMMIT, report)
    assert [tool for tool in called if TOKEN in " ".join(tool.call()["arguments"])] == []


def test_without_cml_gh_comments_on_the_commit(github: GitHub, report: Path) -> None:
    assert on_commit(COMMIT, report) == "https://github.com/comment/1"
    path = f"/repos/acme/forest/commits/{COMMIT}/comments"
    assert github.requests[-1] == ("POST", path, f"token {TOKEN}")
    assert [comment["body"] for comment in github.comments] == [TEXT]


def test_a_commit_that_has_a_comment_of_an_earlier_run_gets_no_second_one(
    tools: Path, github: GitHub, report: Path
) -> None:
    cml = stand_in(tools, "cml")
    earlier = {"id": 1, "body": f"{MARK}\n\n# Refused", "html_url": "https://github.com/comment/1"}
    github.comments.append({**earlier, **BOT})
    for _ in range(2):
        assert on_commit(COMMIT, report) == "https://github.com/comment/1"
    assert [comment["body"] for comment in github.comments] == [TEXT]
    assert [method for method, _, _ in github.requests] == ["GET", "PATCH", "GET"]
    assert not cml.record.exists()


def test_when_cml_fails_gh_comments_all_the_same(tools: Path, github: GitHub, report: Path) -> None:
    stand_in(tools, "cml", code=1)
    on_commit(COMMIT, report)
    assert [comment["body"] for comment in github.comments] == [TEXT]


def test_when_both_fail_both_complaints_are_told(tools: Path, report: Path) -> None:
    stand_in(tools, "cml", code=1, answer="cml has no runner")
    stand_in(tools, "gh", code=4, answer="HTTP 403: not accessible by integration")
    with pytest.raises(DeliveryError, match=r"(?s)cml has no runner.*HTTP 403") as told:
        on_commit(COMMIT, report)
    assert TOKEN not in str(told.value)


@pytest.mark.usefixtures("tools")
def test_when_neither_is_installed_both_are_named(report: Path) -> None:
    with pytest.raises(DeliveryError, match=r"(?s)`cml` is needed.*`gh` is needed"):
        on_commit(COMMIT, report)


def test_a_pull_request_gets_a_comment(github: GitHub, report: Path) -> None:
    github.comments.append({"id": 1, "body": "Looks good to me", "html_url": "", **MEMBER})
    assert on_pull_request("7", report) == "https://github.com/comment/2"
    assert [path.partition("?")[0] for _, path, _ in github.requests] == [
        "/repos/acme/forest/issues/7/comments"
    ] * 2
    assert [comment["body"] for comment in github.comments] == ["Looks good to me", TEXT]


@pytest.mark.parametrize("author", [BOT, MEMBER])
def test_a_later_run_brings_its_own_comment_up_to_date(
    github: GitHub, report: Path, author: dict[str, Any]
) -> None:
    quoting = {"id": 1, "body": f"> {MARK}\n\nWhat is this?", "html_url": "", **author}
    earlier = {"id": 2, "body": f"{MARK}\n\n# Nothing", "html_url": "", **author}
    github.comments += [quoting, earlier]
    assert on_pull_request("7", report) == "https://github.com/comment/2"
    assert github.requests[-1][:2] == ("PATCH", "/repos/acme/forest/issues/comments/2")
    assert [comment["body"] for comment in github.comments] == [quoting["body"], TEXT]


def test_a_comment_of_a_stranger_that_begins_as_ours_is_left_alone(
    github: GitHub, report: Path
) -> None:
    github.comments.append({"id": 1, "body": f"{MARK}\n\n# Mine", "html_url": "", **STRANGER})
    assert on_pull_request("7", report) == "https://github.com/comment/2"
    assert [comment["body"] for comment in github.comments] == [f"{MARK}\n\n# Mine", TEXT]


def test_a_repository_that_is_not_named_is_asked_for(
    tools: Path, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tools, "gh")
    monkeypatch.delenv("GITHUB_REPOSITORY")
    with pytest.raises(DeliveryError, match="GITHUB_REPOSITORY is not set"):
        on_pull_request("7", report)
