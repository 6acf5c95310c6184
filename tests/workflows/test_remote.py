"""The one action that hands on the credentials of the remote: keys, roles, files."""

import shutil
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs

from tests.answering import answering
from tests.checkout import ROOT
from tests.github.hub import GitHub
from tests.github.run import Run
from tests.github.server import STS
from tests.github.settings import Settings
from tests.github.toys import toy

WORKFLOW = """\
name: Work
on: push
permissions: {contents: read, id-token: LEVEL}
jobs:
  work:
    runs-on: ubuntu-24.04
    env: {PYTHON: python3}
    steps:
      - uses: actions/checkout@v7
        with: {persist-credentials: false}
      - uses: ./.github/actions/remote
        with: {GIVEN}
      - run: env | grep -E "^(AWS|DVC|GOOGLE|GDRIVE)_" | sed "s/=/ is /" | tee names
      - run: cat "$GOOGLE_APPLICATION_CREDENTIALS" | wc -l
        if: env.GOOGLE_APPLICATION_CREDENTIALS != ''
      - uses: ./.github/actions/remote
        with: {url: "s3://other/place"}
      - run: echo "then $DVC_REMOTE_URL and ${AWS_SECRET_ACCESS_KEY:-nothing}"
"""
ANSWER = b"""\
<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult><Credentials>
    <AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>half-of-the-key</SecretAccessKey>
    <SessionToken>token-of-the-session</SessionToken><Expiration>2026-11-27T06:00:00Z</Expiration>
  </Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>
"""
ROLE = "arn:aws:iam::1:role/dvc"


class _Sts(BaseHTTPRequestHandler):
    """Gives keys for a role to who has an identity."""

    asked: list[dict[str, list[str]]]
    status: int

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.asked.append(parse_qs(body))
        answer = ANSWER if self.status == 200 else b"<Error/>"
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


def handed_on(
    root: Path, given: str, *, level: str = "write", settings: Settings | None = None
) -> Run:
    """Run the action with these inputs, and show what the steps after it see."""
    work, github = toy(root, settings)
    shutil.copytree(ROOT / ".github" / "actions", work.clone / ".github" / "actions")
    (work.clone / ".ci").mkdir()
    shutil.copyfile(ROOT / ".ci" / "remote.py", work.clone / ".ci" / "remote.py")
    (work.clone / "Makefile").write_text('remote:\n\t@"$(PYTHON)" .ci/remote.py\n')
    work.commit("Begin", work=WORKFLOW.replace("GIVEN", given).replace("LEVEL", level))
    return _run(github)


def _run(github: GitHub) -> Run:
    [run] = github.deliver(github.pushed("main"))
    return run


def test_keys_are_there_for_the_steps_that_follow_and_in_no_log(tmp_path: Path) -> None:
    keys = "url: s3://bucket/place, aws-access-key-id: AKIA, aws-secret-access-key: the-other-half"
    run = handed_on(tmp_path, f"{keys}, aws-session-token: for-a-while, aws-region: eu-central-1")
    assert run.conclusion == "success", run.log
    names = (run.folder / "work" / "work" / "names").read_text()
    assert "AWS_SECRET_ACCESS_KEY is the-other-half" in names
    assert "AWS_SESSION_TOKEN is for-a-while" in names
    assert "the-other-half" not in run.log and "AWS_DEFAULT_REGION is eu-central-1" in run.log


def test_a_second_call_takes_away_what_the_first_one_gave(tmp_path: Path) -> None:
    run = handed_on(tmp_path, "url: s3://bucket/place, aws-secret-access-key: the-other-half")
    assert "then *** and nothing" in run.log


def test_the_json_of_an_account_is_a_file_for_its_library(tmp_path: Path) -> None:
    run = handed_on(
        tmp_path, 'google-credentials: "{\\n  \\"private_key\\": \\"hidden-key\\"\\n}\\n"'
    )
    assert run.conclusion == "success", run.log
    assert "hidden-key" not in run.log
    [path] = (run.folder / "work" / "temp").glob("google_credentials.json")
    assert "hidden-key" in path.read_text() and path.stat().st_mode & 0o077 == 0


def test_a_role_is_assumed_by_the_identity_of_the_job(tmp_path: Path) -> None:
    asked: list[dict[str, list[str]]] = []
    with answering(_Sts, asked=asked, status=200) as url:
        settings = Settings(hosts={STS: url})
        run = handed_on(tmp_path, f'aws-role: "{ROLE}"', settings=settings)
    assert run.conclusion == "success", run.log
    names = (run.folder / "work" / "work" / "names").read_text()
    assert "AWS_ACCESS_KEY_ID is ASIA" in names and "token-of-the-session" in names
    assert "half-of-the-key" not in run.log
    assert asked[0]["RoleArn"] == [ROLE] and "identity-for-" in asked[0]["WebIdentityToken"][0]


def test_a_role_that_is_refused_ends_the_job_in_words(tmp_path: Path) -> None:
    with answering(_Sts, asked=[], status=403) as url:
        settings = Settings(hosts={STS: url})
        run = handed_on(tmp_path, f'aws-role: "{ROLE}"', settings=settings)
    assert run.conclusion == "failure" and "cannot be assumed" in run.log


def test_a_job_without_an_identity_goes_on_without_the_role_and_says_so(tmp_path: Path) -> None:
    run = handed_on(tmp_path, f'aws-role: "{ROLE}", url: s3://bucket/place', level="none")
    assert run.conclusion == "success" and "is not assumed" in str(run.notes)
