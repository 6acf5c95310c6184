"""A report → a comment on a commit, or on a pull request: by CML, else by GitHub's own client."""

import json
import os
from pathlib import Path

from treeline.delivery.processes import run
from treeline.delivery.report import MARK
from treeline.errors import DeliveryError

# CML counts its users, and would hand pictures to a third party, unless told not to.
CML_SETTINGS = {"ITERATIVE_DO_NOT_TRACK": "1"}


def on_commit(commit: str, report: Path) -> str:
    """Comment on a commit; return the address of the comment, or what CML printed of it.

    CML is asked where it is installed. When it is not, or fails, `gh` does it. Raises
    DeliveryError with both complaints when neither can.
    """
    try:
        return _by_cml(commit, report)
    except DeliveryError as absent:
        try:
            return run(
                "gh", "api", f"repos/{_repository()}/commits/{commit}/comments",
                "--field", f"body=@{report}", "--jq", ".html_url",
            ).strip()  # fmt: skip
        except DeliveryError as failed:
            raise DeliveryError(f"no comment could be made.\n{absent}\n{failed}") from failed


def on_pull_request(number: str, report: Path) -> str:
    """Comment on a pull request; a comment of an earlier run is brought up to date instead."""
    comments = f"repos/{_repository()}/issues/{number}/comments"
    listed = run("gh", "api", "--paginate", comments, "--jq", ".[] | {id, body} | tojson")
    rows = [json.loads(line) for line in listed.splitlines() if line.strip()]
    earlier = [row["id"] for row in rows if row["body"].lstrip().startswith(MARK)]
    target = f"repos/{_repository()}/issues/comments/{earlier[-1]}" if earlier else comments
    method = "PATCH" if earlier else "POST"
    return run(
        "gh", "api", "--method", method, target, "--field", f"body=@{report}", "--jq", ".html_url"
    ).strip()


def _by_cml(commit: str, report: Path) -> str:
    return run(
        "cml", "comment", "create", f"--target=commit/{commit}", "--publish=false", str(report),
        env={**CML_SETTINGS, "REPO_TOKEN": os.environ.get("GH_TOKEN", "")},
    ).strip()  # fmt: skip


def _repository() -> str:
    try:
        return os.environ["GITHUB_REPOSITORY"]
    except KeyError as missing:
        raise DeliveryError(
            "GITHUB_REPOSITORY is not set; give the owner and name, e.g. acme/forest"
        ) from missing
