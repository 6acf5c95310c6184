"""What a step tells GitHub Actions: outputs, notices, its summary; plain lines anywhere else.

What GitHub Actions tells a step: the addresses of its repository and its run.
"""

import json
import os
from pathlib import Path

DEPENDABOT = "dependabot[bot]"


def output(**values: str) -> None:
    """Hand values to the steps after this one; print them, for a person to see."""
    for name, value in values.items():
        print(f"{name}={value}")
        _append("GITHUB_OUTPUT", f"{name}={value}\n")


def notice(message: str) -> None:
    """Say what was left out, and why."""
    print(f"::notice::{message}" if os.environ.get("GITHUB_ACTIONS") else message, flush=True)


def summarise(markdown: str) -> None:
    """Add Markdown to the page of the run."""
    _append("GITHUB_STEP_SUMMARY", markdown.rstrip("\n") + "\n")


def repository_page() -> str:
    """Return the address of the repository that this run is of; empty outside of a run."""
    server, name = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
    return f"{server}/{name}" if server and name else ""


def run_page() -> str:
    """Return the address of this run; empty outside of one."""
    page, number = repository_page(), os.environ.get("GITHUB_RUN_ID")
    return f"{page}/actions/runs/{number}" if page and number else ""


def lacks_secrets() -> bool:
    """Tell whether this run is given no secrets: that of a fork's pull request, or Dependabot's."""
    if os.environ.get("GITHUB_EVENT_NAME") != "pull_request":
        return False
    if os.environ.get("GITHUB_ACTOR") == DEPENDABOT:
        return True
    path = os.environ.get("GITHUB_EVENT_PATH")
    document = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    head = document.get("pull_request", {}).get("head", {}).get("repo") or {}  # null: it is deleted
    return bool(document) and head.get("full_name") != os.environ.get("GITHUB_REPOSITORY")


def _append(variable: str, text: str) -> None:
    if path := os.environ.get(variable):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
