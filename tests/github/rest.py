"""GitHub's REST API, as far as workflows and people with `gh` use it, with its permissions.

Rows are kept and returned as they are; what a token may not do is refused as GitHub does.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.github.git_http import Origin, Response, as_json
from tests.github.settings import Level, Settings, Token
from tests.github.store import Row, Store

MOST_CHARACTERS = 65_536  # of the body of a comment, an issue or a pull request
ACTIONS, CONTENTS = ("actions",), ("contents",)
ISSUES = ("issues", "pull-requests")  # a pull request is an issue: either permission does


class Refused(Exception):
    """An answer with an error status."""

    def __init__(self, status: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status, self.document = status, {"message": message, **more}


@dataclass(frozen=True)
class Call:
    """A request of the API; `groups` are what the pattern of its route found in the path."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes
    token: Token | None
    groups: tuple[str, ...] = field(default=())

    @property
    def document(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.body) if self.body else {}
        return parsed

    def text(self) -> str:
        """Return the body of a comment; raises Refused where there is none, or too much."""
        text = str(self.document.get("body") or "")
        if not text.strip():
            raise Refused(422, "Validation Failed", errors=[{"field": "body", "code": "missing"}])
        if len(text) > MOST_CHARACTERS:
            raise Refused(422, f"Body is too long (maximum is {MOST_CHARACTERS} characters)")
        return text


@dataclass(frozen=True)
class Route:
    """What answers a method and a path below the repository, and who may ask."""

    method: str
    pattern: str
    answer: Callable[["Rest", Call], Any]
    status: int = 200
    level: Level = "none"
    scopes: tuple[str, ...] = ()


def author(call: Call) -> Row:
    """Return who wrote something, by the token: the app of a job, or who owns the repository."""
    assert call.token is not None
    if call.token.kind == "PAT":
        return {"user": {"login": "octocat", "type": "User"}, "author_association": "OWNER"}
    return {"user": {"login": "github-actions[bot]", "type": "Bot"}, "author_association": "NONE"}


class Rest:
    """The API of one repository."""

    def __init__(self, settings: Settings, store: Store, origin: Origin) -> None:
        self.settings, self.store, self.origin = settings, store, origin
        self.web = f"https://github.com/{settings.name}"

    def answer(self, call: Call) -> Response:
        """Answer a call; raises Refused."""
        if call.path == "/graphql":
            return Response(200, as_json(self._graphql(call)), "application/json")
        place = f"/repos/{self.settings.name}"
        if not call.path.lower().startswith(place.lower()):
            raise Refused(404, "Not Found")
        rest = call.path[len(place) :].rstrip("/")
        for route in ROUTES:
            found = re.fullmatch(route.pattern, rest)
            if found and call.method == route.method:
                self._permit(call, route)
                asked = Call(**{**vars(call), "groups": found.groups()})
                value = route.answer(self, asked)
                body = b"" if route.status == 204 else as_json(value)
                return Response(route.status, body, "application/json")
        raise Refused(404, "Not Found", nothing_answers=f"{call.method} {rest}")

    @staticmethod
    def _permit(call: Call, route: Route) -> None:
        if route.level == "none":
            return
        if call.token is None:
            raise Refused(401, "Requires authentication")
        if not call.token.may(route.level, *route.scopes):
            needed = f"{' or '.join(route.scopes)}: {route.level}"
            raise Refused(403, "Resource not accessible by integration", needs=needed)

    # --- the repository -----------------------------------------------------------------------

    def repository(self, _: Call) -> Row:
        return {
            "full_name": self.settings.name,
            "default_branch": self.settings.branch,
            "private": self.settings.private,
            "allow_auto_merge": self.settings.allow_auto_merge,
            "allow_squash_merge": True,
            "allow_merge_commit": True,
            "has_issues": True,
        }

    def rules(self, call: Call) -> list[Row]:
        ref = f"refs/heads/{call.groups[0]}"
        found = [each for each in self.settings.rules if each.kind == "ruleset"]
        return [
            {"type": "pull_request", "parameters": {}} for each in found if each.refusal(ref, "")
        ]

    def branch(self, call: Call) -> Row:
        name = call.groups[0]
        if not (commit := self.origin.resolve(f"refs/heads/{name}")):
            raise Refused(404, "Branch not found")
        kinds = [each.kind for each in self.settings.rules if each.branch == name]
        return {"name": name, "commit": {"sha": commit}, "protected": bool(kinds)}

    def environments(self, _: Call) -> Row:
        rows = [{"name": name} for name in self.settings.environments]
        return {"total_count": len(rows), "environments": rows}

    def named(self, call: Call) -> Row:
        """List names of secrets, or variables with their values, of the repository or else."""
        environment, kind = call.groups
        settings = self.settings.environments.get(environment) if environment else self.settings
        if settings is None:
            raise Refused(404, "Not Found")
        values = settings.secrets if kind == "secrets" else settings.variables
        rows = [{"name": key, **({"value": value} if kind == "variables" else {})}
                for key, value in values.items()]  # fmt: skip
        return {"total_count": len(rows), kind: rows}

    def actions(self, _: Call) -> Row:
        return {"enabled": True, "allowed_actions": "all"}

    def workflow_token(self, _: Call) -> Row:
        may = self.settings.actions_open_pulls
        return {"default_workflow_permissions": "read", "can_approve_pull_request_reviews": may}

    # --- commits ------------------------------------------------------------------------------

    def commit(self, call: Call) -> Row:
        return {"sha": self._sha(call.groups[0])}

    def commit_comments(self, call: Call) -> list[Row]:
        return [row for row in self.store.comments if row["commit_id"] == call.groups[0]]

    def comment_on_commit(self, call: Call) -> Row:
        assert call.token is not None
        commit = self._sha(call.groups[0])
        row = self.store.add(
            "comments", commit_id=commit, body=call.text(), by=call.token.kind, **author(call)
        )
        row["html_url"] = f"{self.web}/commit/{commit}#commitcomment-{row['id']}"
        return row

    def edit_commit_comment(self, call: Call) -> Row:
        assert call.token is not None
        if call.token.kind == "GITHUB_TOKEN":
            locked = {"resource": "CommitComment", "field": "commit_id", "code": "custom"}
            message = "commit_id has been locked"
            raise Refused(422, "Validation Failed", errors=[{**locked, "message": message}])
        return self._edited(self.store.comments, call, body=call.text())

    def _sha(self, revision: str) -> str:
        if not (commit := self.origin.resolve(revision)):
            raise Refused(422, f"No commit found for SHA: {revision}")
        return commit

    # --- issues and pull requests -------------------------------------------------------------

    def issues(self, call: Call) -> list[Row]:
        state = call.query.get("state", "open")
        wanted = set(filter(None, call.query.get("labels", "").split(",")))
        return [
            row
            for row in [*self.store.issues, *self.store.pulls]
            if state in {"all", row["state"]}
            and wanted <= {label["name"] for label in row.get("labels", ())}
        ]

    def open_issue(self, call: Call) -> Row:
        document = call.document
        labels = [{"name": name} for name in document.get("labels", ())]
        row = self._opened("issues", title=document["title"], body=call.text(), labels=labels)
        row |= author(call)
        return row

    def edit_issue(self, call: Call) -> Row:
        changes = {key: value for key, value in call.document.items() if key in EDITABLE}
        return self._edited([*self.store.issues, *self.store.pulls], call, key="number", **changes)

    def issue_comments(self, call: Call) -> list[Row]:
        return [row for row in self.store.issue_comments if row["issue"] == call.groups[0]]

    def comment_on_issue(self, call: Call) -> Row:
        row = self.store.add(
            "issue_comments", issue=call.groups[0], body=call.text(), **author(call)
        )
        row["html_url"] = f"{self.web}/issues/{call.groups[0]}#issuecomment-{row['id']}"
        return row

    def edit_issue_comment(self, call: Call) -> Row:
        return self._edited(self.store.issue_comments, call, body=call.text())

    def pulls(self, call: Call) -> list[Row]:
        state = call.query.get("state", "open")
        head = call.query.get("head", "").rpartition(":")[2]
        return [
            row
            for row in self.store.pulls
            if state in {"all", row["state"]} and head in {"", row["head"]["ref"]}
        ]

    def open_pull(self, call: Call) -> Row:
        assert call.token is not None
        document = call.document
        if call.token.kind == "GITHUB_TOKEN" and not self.settings.actions_open_pulls:
            message = "GitHub Actions is not permitted to create or approve pull requests."
            raise Refused(403, message)
        commit = self._sha(f"refs/heads/{document['head']}")
        head = {"ref": document["head"], "sha": commit}
        base = {"ref": document["base"]}
        row = self._opened("pulls", title=document["title"], body=document.get("body") or "")
        row |= {"head": head, "base": base, "by": call.token.kind, "auto_merge": None}
        return row

    def _opened(self, table: str, **row: Any) -> Row:
        number = len(self.store.issues) + len(self.store.pulls) + 1
        kind = "pull" if table == "pulls" else "issues"
        more = {"number": number, "state": "open", "html_url": f"{self.web}/{kind}/{number}"}
        made = self.store.add(table, **row, **more)
        made["node_id"] = f"node-{made['id']}"
        return made

    def _edited(self, rows: list[Row], call: Call, *, key: str = "id", **changes: Any) -> Row:
        for row in rows:
            if str(row[key]) == call.groups[0]:
                row |= {**changes, "edited": True}
                return row
        raise Refused(404, "Not Found")

    def _graphql(self, call: Call) -> Row:
        """Answer the one mutation that has no REST route: merging when all checks have passed."""
        query, variables = call.document["query"], call.document.get("variables", {})
        if "enablePullRequestAutoMerge" not in query:
            raise Refused(400, "this fake has no other query than enablePullRequestAutoMerge")
        wanted = set(variables.values()) | set(re.findall(r'"(node-\d+)"', query))
        row = next((each for each in self.store.pulls if each["node_id"] in wanted), None)
        if row is None or not self.settings.allow_auto_merge:
            message = "Auto merge is not allowed for this repository" if row else "no such node"
            return {"data": None, "errors": [{"type": "UNPROCESSABLE", "message": message}]}
        row["auto_merge"] = {"enabled_by": call.token.kind if call.token else ""}
        return {"data": {"enablePullRequestAutoMerge": {"pullRequest": {"id": row["node_id"]}}}}

    # --- workflows ----------------------------------------------------------------------------

    def artifacts(self, call: Call) -> Row:
        name = call.query.get("name")
        rows = [row for row in self.store.artifacts if name in {None, row["name"]}]
        return {"total_count": len(rows), "artifacts": rows[::-1]}

    def dispatch(self, call: Call) -> None:
        assert call.token is not None
        self.store.add("dispatches", workflow=call.groups[0], by=call.token.kind, **call.document)


EDITABLE = ("title", "body", "state", "state_reason", "labels")

WORKFLOW, COMMIT = r"/actions/workflows/([^/]+)", r"/commits/([^/]+)"

ROUTES = (
    Route("GET", "", Rest.repository),
    Route("GET", r"/rules/branches/(.+)", Rest.rules),
    Route("GET", r"/branches/([^/]+)", Rest.branch),
    Route("GET", r"/environments", Rest.environments),
    Route("GET", r"/(?:environments/([^/]+)|actions)/(secrets|variables)", Rest.named),
    Route("GET", r"/actions/permissions", Rest.actions),
    Route("GET", r"/actions/permissions/workflow", Rest.workflow_token),
    Route("GET", r"/actions/artifacts", Rest.artifacts, 200, "read", ACTIONS),
    Route("POST", WORKFLOW + "/dispatches", Rest.dispatch, 204, "write", ACTIONS),
    Route("GET", COMMIT + "/comments", Rest.commit_comments),
    Route("POST", COMMIT + "/comments", Rest.comment_on_commit, 201, "write", CONTENTS),
    Route("PATCH", r"/comments/(\d+)", Rest.edit_commit_comment, 200, "write", CONTENTS),
    Route("GET", COMMIT, Rest.commit),
    Route("GET", r"/issues", Rest.issues),
    Route("POST", r"/issues", Rest.open_issue, 201, "write", ("issues",)),
    Route("PATCH", r"/issues/(\d+)", Rest.edit_issue, 200, "write", ISSUES),
    Route("GET", r"/issues/(\d+)/comments", Rest.issue_comments),
    Route("POST", r"/issues/(\d+)/comments", Rest.comment_on_issue, 201, "write", ISSUES),
    Route("PATCH", r"/issues/comments/(\d+)", Rest.edit_issue_comment, 200, "write", ISSUES),
    Route("GET", r"/pulls", Rest.pulls),
    Route("POST", r"/pulls", Rest.open_pull, 201, "write", ("pull-requests",)),
    Route("PATCH", r"/pulls/(\d+)", Rest.edit_issue, 200, "write", ("pull-requests",)),
)  # fmt: skip
