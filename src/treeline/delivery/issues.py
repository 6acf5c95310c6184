"""Pull requests and issues of the repository on GitHub, by its own client, which has GH_TOKEN.

Each is found again by what it is for, and brought up to date: there is never a second one.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from treeline.delivery.github import OURS, repository, rows, send
from treeline.delivery.processes import attempt
from treeline.errors import DeliveryError

MERGE_BY_ITSELF = (
    "mutation($id: ID!) { enablePullRequestAutoMerge(input: {pullRequestId: $id}) "
    "{ clientMutationId } }"
)


def pull_request(branch: str, *, base: str, title: str, body: str) -> dict[str, Any]:
    """Open the pull request of a branch, or give the open one this title and text; return it.

    Raises DeliveryError, with the way out, where the token may not open one.
    """
    owner = repository().partition("/")[0]
    for row in rows(f"repos/{repository()}/pulls?state=open&head={owner}:{branch}", "number"):
        return send("PATCH", f"pulls/{row['number']}", {"title": title, "body": body})
    document = {"title": title, "body": body, "head": branch, "base": base}
    try:
        return send("POST", "pulls", document)
    except DeliveryError as refused:
        raise DeliveryError(
            f"the models are on the branch {branch}, and no pull request could be opened for it; "
            "allow it (Settings → Actions → Allow GitHub Actions to create pull requests), set the "
            f"secret DEPLOY_TOKEN, or open it by hand\n{refused}"
        ) from refused


def merge_by_itself(pull: dict[str, Any]) -> bool:
    """Have a pull request merged when its checks have passed; say whether GitHub will."""
    query = ("--field", f"query={MERGE_BY_ITSELF}", "--field", f"id={pull['node_id']}")
    return attempt("gh", "api", "graphql", *query).returncode == 0


def dispatch(workflow: str, branch: str) -> None:
    """Start a workflow on a branch, by its file; raises DeliveryError."""
    send("POST", f"actions/workflows/{workflow}/dispatches", {"ref": branch})


def open_issues() -> list[dict[str, Any]]:
    """Return the open issues that are ours, each with `number` and `body`."""
    return _ours("state=open")


def closed_issues(*, since: datetime) -> list[dict[str, Any]]:
    """Return the closed issues that are ours, of those that were changed since a time."""
    return _ours(f"state=closed&since={since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")


def _ours(query: str) -> list[dict[str, Any]]:
    listed = rows(f"repos/{repository()}/issues?{query}", f"number, body, {OURS}")
    return [row for row in listed if row["ours"]]


def all_marked(issues: Sequence[dict[str, Any]], mark: str) -> list[dict[str, Any]]:
    """Return the issues whose text begins with a mark."""
    return [row for row in issues if (row["body"] or "").lstrip().startswith(mark)]


def marked(issues: Sequence[dict[str, Any]], mark: str) -> dict[str, Any] | None:
    """Return the issue whose text begins with a mark, None where there is none."""
    return next(iter(all_marked(issues, mark)), None)


def keep_issue(earlier: dict[str, Any] | None, *, title: str, body: str) -> None:
    """Give an issue another text, or open one where there is none; raises DeliveryError."""
    if earlier is None:
        send("POST", "issues", {"title": title, "body": body})
    else:
        edit_issue(earlier["number"], body=body)


def edit_issue(number: int, **changes: str) -> dict[str, Any]:
    """Change the text or the state of an issue; raises DeliveryError."""
    return send("PATCH", f"issues/{number}", changes)
