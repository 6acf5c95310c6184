"""Pull requests and the one issue, on the fake GitHub by GitHub's own client."""

import json
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.answering import answering
from tests.checkout import PARAMS
from tests.github.evaluator import lacking
from tests.github.hub import GitHub
from tests.github.settings import PERSONAL, Token
from tests.github.toys import toy
from treeline.commands.notify import MARK, notify
from treeline.commands.propose import propose
from treeline.commands.respond import respond
from treeline.delivery import notes, refusals
from treeline.delivery.refusals import Refusal
from treeline.errors import ConfigError, DeliveryError
from treeline.monitoring.record import Record
from treeline.monitoring.responses import mark_of

MISSING = lacking() or ("" if shutil.which("gh") else "not installed: gh")
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

BRANCH = "retrain/2026-11-27"
OF_A_JOB = Token("GITHUB_TOKEN", dict.fromkeys(("actions", "contents", "issues"), "write"))


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """Give a GitHub that `gh` reaches, from a clone with a report and a branch that was pushed."""
    work, made = toy(tmp_path)
    made.settings.tokens = {"personal": PERSONAL, "of-a-job": OF_A_JOB}
    monkeypatch.chdir(work.clone)
    work.commit("Begin")
    work.commit("Train sugar", branch=BRANCH)
    notes.REPORT.parent.mkdir(parents=True)
    notes.REPORT.write_text("# Trained: sugar\n")
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/toy")
    monkeypatch.setenv("GH_TOKEN", "personal")
    with made.online():
        for name, value in made.network.items():
            monkeypatch.setenv(name, value)
        yield made


def test_a_pull_request_is_opened_once_with_the_report_as_its_text(github: GitHub) -> None:
    assert propose(BRANCH).endswith("/pull/1")
    notes.REPORT.write_text("# Trained: sugar, again\n")
    propose(BRANCH)
    [pull] = github.store.pulls
    assert (pull["title"], pull["body"]) == ("Train sugar", "# Trained: sugar, again\n")
    assert pull["head"]["ref"] == BRANCH and not github.store.dispatches


@pytest.mark.parametrize("allowed", [True, False])
def test_it_is_merged_by_itself_where_that_is_allowed(
    github: GitHub, allowed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    github.settings.allow_auto_merge = allowed
    propose(BRANCH)
    assert bool(github.store.pulls[0]["auto_merge"]) is allowed
    ending = "merged when its checks have passed" if allowed else "A person merges it"
    assert ending in capsys.readouterr().out


def test_its_tests_are_started_where_github_starts_none(github: GitHub) -> None:
    propose(BRANCH, dispatch="test.yml")
    [row] = github.store.dispatches
    assert (row["workflow"], row["ref"]) == ("test.yml", BRANCH)


def test_a_token_that_may_open_none_is_told_with_the_ways_out(
    github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GH_TOKEN", "of-a-job")
    with pytest.raises(DeliveryError) as refused:
        propose(BRANCH)
    assert BRANCH in str(refused.value) and "DEPLOY_TOKEN" in str(refused.value)


def test_without_a_report_nothing_is_proposed(github: GitHub) -> None:
    notes.REPORT.unlink()
    with pytest.raises(DeliveryError, match="make report"):
        propose(BRANCH)
    assert not github.store.pulls


class _Webhook(BaseHTTPRequestHandler):
    """Takes what is posted to it."""

    posted: list[str]
    status: int

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.posted.append(json.loads(body)["text"])
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_one_issue_is_opened_kept_up_to_date_and_closed(github: GitHub) -> None:
    posted: list[str] = []
    with answering(_Webhook, posted=posted, status=200) as url:
        for failed in (False, True, True, False, False):
            notify(failed=failed, webhook=url)
    [issue] = github.store.issues
    assert issue["body"].startswith(MARK) and issue["state"] == "closed"
    assert len(posted) == 3 and "All is well again" in posted[-1]


def test_an_issue_of_a_person_is_left_alone(github: GitHub) -> None:
    github.store.add("issues", number=1, state="open", body="Something else", title="Mine")
    notify(failed=True)
    assert len(github.store.issues) == 2
    notify(failed=False)
    assert [row["state"] for row in github.store.issues] == ["open", "closed"]


def test_it_stays_open_while_a_model_is_refused(github: GitHub) -> None:
    refusal = Refusal(by="gate", inputs="0", reason="too bad", commit="0")
    notify(failed=True)
    put_on_record(github, {"sugar": vars(refusal)})
    assert "sugar" in refusals.known()
    notify(failed=False)
    assert github.store.issues[0]["state"] == "open"
    notify(failed=True)
    assert "`sugar`" in github.store.issues[0]["body"]


def put_on_record(github: GitHub, document: dict[str, dict[str, str]]) -> None:
    """Write a list of refusals, and fetch it as a checkout does."""
    blob = github.origin.run("hash-object", "-w", "--stdin", given=json.dumps(document))
    tree = github.origin.run("mktree", given=f"100644 blob {blob}\trefused.json\n")
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
    commit = github.origin.run(*identity, "commit-tree", tree, "-m", "Refused: sugar")
    github.origin.run("update-ref", "refs/heads/refused", commit)
    clone = github.folder.parent / "clone"
    github.origin.run("-C", str(clone), "fetch", "--quiet", "origin")


def test_what_a_stranger_has_written_is_none_of_ours(github: GitHub) -> None:
    stranger = {"user": {"login": "mallory", "type": "User"}, "author_association": "NONE"}
    github.store.add("issues", number=1, state="open", body=MARK, title="Mine", **stranger)
    notify(failed=True)
    assert [row["number"] for row in github.store.issues] == [1, 2]
    notify(failed=False)
    assert [row["state"] for row in github.store.issues] == ["open", "closed"]


def test_each_model_that_alarms_has_one_issue_until_it_is_quiet(
    github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com")
    monkeypatch.setenv("GITHUB_OUTPUT", str(github.folder / "output"))
    Path("params.yaml").write_text(PARAMS)
    for states in (("alarm", "alarm"), ("alarm", "too few rows"), ("quiet", "quiet")):
        looked(dict(zip(("flowers", "sugar"), states, strict=True)))
        respond()
    issues = {row["body"].partition("\n")[0]: row for row in github.store.issues}
    assert set(issues) == {mark_of("flowers"), mark_of("sugar")}
    assert {row["state"] for row in issues.values()} == {"closed"}
    assert (github.folder / "output").read_text() == "train=false\n" * 3
    picture = f"/raw/{github.origin.run('rev-parse', 'monitored').strip()}/"
    assert github.origin.run("ls-tree", "-r", "--name-only", "monitored").split() == [
        "flowers.json", "flowers.md", "flowers/drift.png", "sugar.json", "sugar.md",
    ]  # fmt: skip
    assert picture not in issues[mark_of("flowers")]["body"]  # it is quiet: no picture is pinned


def looked(states: dict[str, str], *, action: str = "issue") -> None:
    """Write what a look at the models leaves."""
    folder = Path("build/monitor/flowers")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "drift.png").write_bytes(b"a picture")
    for name, state in states.items():
        record = Record.model_validate(
            {
                "model": name,
                "version": "0123456789ab",
                "state": state,
                "action": action,
                "seen": {"since": 0.0, "until": 1.0},
            }
        )
        Path(f"build/monitor/{name}.json").write_text(record.model_dump_json())
        Path(f"build/monitor/{name}.md").write_text(f"# {name}\n\n![]({name}/drift.png)\n")
    notes.write(notes.Monitored(list(states)))


def test_issues_that_are_too_many_or_about_no_model_are_closed(github: GitHub) -> None:
    Path("params.yaml").write_text(PARAMS)
    bot = {"user": {"login": "github-actions[bot]", "type": "Bot"}, "author_association": "NONE"}
    person = {"user": {"login": "mallory", "type": "User"}, "author_association": "NONE"}
    for number, (name, author) in enumerate(
        [("sugar", bot), ("sugar", bot), ("salt", bot), ("sugar", person), ("salt", person)], 1
    ):
        body = f"{mark_of(name)}\n\nThe last look alarms."
        github.store.add("issues", number=number, state="open", title=name, body=body, **author)
    looked({"flowers": "quiet", "sugar": "alarm"})
    respond()
    assert [row["state"] for row in github.store.issues] == [
        "open",
        "closed",
        "closed",
        "open",
        "open",
    ]
    assert "declared no more" in github.store.issues[2]["body"]
    looked({"sugar": "quiet"})
    respond()
    assert [row["state"] for row in github.store.issues[:2]] == ["closed", "closed"]
    assert len(github.store.issues) == 5


def test_what_cannot_be_trained_alarms_all_the_same(github: GitHub) -> None:
    Path("params.yaml").write_text(PARAMS)
    looked({"flowers": "alarm", "sugar": "alarm"}, action="retrain")
    responses = respond()
    assert [each.change for each in responses] == ["open", "open"]
    assert not any(each.train for each in responses)
    for row in github.store.issues:
        assert "there is no shared remote" in row["body"]


def test_a_log_that_cannot_be_read_is_said_once_until_it_can(github: GitHub) -> None:
    Path("params.yaml").write_text(PARAMS)
    for reason in ("no answer", "401: the key is refused"):
        notes.write(notes.Monitored([], error=reason))
        respond()
    [issue] = github.store.issues
    assert issue["state"] == "open" and "401" in issue["body"]
    looked({"flowers": "quiet"})
    respond()
    assert github.store.issues[0]["state"] == "closed"
    notes.clear()
    with pytest.raises(ConfigError, match="make monitor"):
        respond()


def test_a_webhook_that_does_not_answer_is_told_after_the_issue(github: GitHub) -> None:
    with answering(_Webhook, posted=[], status=500) as url, pytest.raises(DeliveryError) as error:
        notify(failed=True, webhook=url)
    assert "NOTIFY_WEBHOOK: 500" in str(error.value) and github.store.issues
