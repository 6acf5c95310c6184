"""A report → a comment on a commit, or on a pull request: by CML, else by GitHub's own client."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from treeline.delivery.github import OURS, repository, rows, send
from treeline.delivery.processes import run
from treeline.delivery.report import MARK
from treeline.errors import DeliveryError

# CML counts its users, and would hand pictures to a third party and show one of theirs, unless told
# not to.
CML_SETTINGS = {"ITERATIVE_DO_NOT_TRACK": "1"}


def on_commit(commit: str, report: Path) -> str:
    """Comment on a commit; return the address of the comment, or what CML printed of it.

    A comment of an earlier run there is brought up to date, as far as the token may. Otherwise CML
    makes one where it is installed, and `gh` where it is not, or fails. Raises DeliveryError with
    both complaints when neither can.
    """
    with suppress(DeliveryError):  # without gh, or with a token that may not change it
        if earlier := _earlier(f"commits/{commit}/comments"):
            same = earlier.body.strip() == report.read_text(encoding="utf-8").strip()
            return earlier.url if same else _post("PATCH", f"comments/{earlier.id}", report)
    try:
        return _by_cml(commit, report)
    except DeliveryError as absent:
        try:
            return _post("POST", f"commits/{commit}/comments", report)
        except DeliveryError as failed:
            raise DeliveryError(f"no comment could be made.\n{absent}\n{failed}") from failed


def on_pull_request(number: str, report: Path) -> str:
    """Comment on a pull request; a comment of an earlier run is brought up to date instead."""
    comments = f"issues/{number}/comments"
    if earlier := _earlier(comments):
        return _post("PATCH", f"issues/comments/{earlier.id}", report)
    return _post("POST", comments, report)


@dataclass(frozen=True)
class Comment:
    """A comment that an earlier run has made."""

    id: int
    body: str
    url: str


def _earlier(comments: str) -> Comment | None:
    """Return the last comment of ours in a list of GitHub's API, None where there is none."""
    listed = rows(f"repos/{repository()}/{comments}", f"id, body, url: .html_url, {OURS}")
    earlier = [
        Comment(each["id"], each["body"], each["url"])
        for each in listed
        if each["ours"] and each["body"].lstrip().startswith(MARK)
    ]
    return earlier[-1] if earlier else None


def _post(method: str, path: str, report: Path) -> str:
    """Send the report to GitHub's API, and return the address of the comment."""
    return str(send(method, path, {"body": report.read_text(encoding="utf-8")}).get("html_url", ""))


def _by_cml(commit: str, report: Path) -> str:
    return run(
        "cml", "comment", "create", f"--target=commit/{commit}", "--publish=false",
        "--rm-watermark", str(report),
        env={**CML_SETTINGS, "REPO_TOKEN": os.environ.get("GH_TOKEN", "")},
    ).strip()  # fmt: skip
