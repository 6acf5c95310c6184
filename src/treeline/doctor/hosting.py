"""The repository on GitHub → findings: what stops a first run there, by GitHub's own client."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from treeline.delivery.processes import attempt
from treeline.delivery.publishing import PULL_REQUEST, TRAIN_BY
from treeline.delivery.refusals import REFUSALS
from treeline.delivery.releasing import MAIN, RELEASES
from treeline.deployment.records import DEPLOYMENTS
from treeline.doctor.finding import Finding, State
from treeline.doctor.settings import ENVIRONMENT, REPOSITORY

STOPS_A_PUSH = frozenset({"pull_request", "required_status_checks", "update", "merge_queue"})
LISTS = (RELEASES, REFUSALS, DEPLOYMENTS)
HOSTED = "ghcr.io/"


def hosting(settings: Mapping[str, str]) -> Iterator[Finding]:
    """Give what GitHub says of the repository, of which `settings` are set there.

    What the login may not know is no finding, or an optional one.
    """
    yield from _actions()
    yield _rules(settings)
    yield from _lists()
    yield _environment()
    yield from _package(settings.get("IMAGE", ""))
    yield from _scopes()


def _actions() -> Iterator[Finding]:
    place = "Actions"
    document = _document(f"{REPOSITORY}/actions/permissions")
    if document is None:
        yield Finding(State.OPTIONAL, place, "this login may not know whether they are enabled")
    elif not document.get("enabled"):
        way_out = "Settings → Actions → General → Allow all actions"
        yield Finding(State.WRONG, place, "are switched off, so nothing runs", way_out)
    elif document.get("allowed_actions") == "local_only":
        message = "only those of this owner are allowed, and the workflows use GitHub's and others"
        yield Finding(State.WRONG, place, message, "Settings → Actions → General: allow others")
    else:
        yield Finding(State.OK, place, "are enabled")


def _rules(settings: Mapping[str, str]) -> Finding:
    """Say whether training may push to main, or goes another way."""
    place = f"rules of {MAIN}"
    rules = _rule_types(MAIN)
    if rules is None:
        return Finding(State.OPTIONAL, place, "this login may not know them")
    stopping = sorted(rules & STOPS_A_PUSH)
    if not stopping:
        return Finding(State.OK, place, "none that stops a push by the workflows")
    names = ", ".join(stopping)
    if settings.get(TRAIN_BY) == PULL_REQUEST:
        return _proposing(place, names)
    if "DEPLOY_TOKEN" in settings:
        message = f"{names}; the token in DEPLOY_TOKEN has to be on the bypass list"
        return Finding(State.OPTIONAL, place, message)
    way_out = f"gh variable set {TRAIN_BY} --body {PULL_REQUEST}, or a secret DEPLOY_TOKEN"
    return Finding(State.WRONG, place, f"{names}: what is trained cannot be pushed", way_out)


def _proposing(place: str, names: str) -> Finding:
    document = _document(f"{REPOSITORY}/actions/permissions/workflow") or {}
    if document.get("can_approve_pull_request_reviews") is False:
        way_out = "Settings → Actions → General → Allow GitHub Actions to create pull requests"
        return Finding(State.WRONG, place, "workflows may not open pull requests", way_out)
    return Finding(State.OK, place, f"{names}; training opens pull requests")


def _lists() -> Iterator[Finding]:
    """Say which of the lists may not be pushed to: nothing is released or recorded then."""
    for each in LISTS:
        stopping = sorted((_rule_types(each.branch) or set()) & STOPS_A_PUSH)
        if stopping:
            message = f"{', '.join(stopping)}: nothing can be entered into this list"
            way_out = "limit the rule to the branches that people work on"
            yield Finding(State.WRONG, f"rules of {each.branch}", message, way_out)


def _rule_types(branch: str) -> set[str] | None:
    """Return the types of the rules of a branch, those of its older protection among them."""
    rules = _document(f"{REPOSITORY}/rules/branches/{branch}")
    if rules is None:
        return None
    types = {str(rule["type"]) for rule in rules}
    older_path = f"{REPOSITORY}/branches/{branch}/protection"
    protection = (_document(older_path) if branch == MAIN else None) or {}
    older = {
        "required_pull_request_reviews": "pull_request",
        "required_status_checks": "required_status_checks",
        "restrictions": "update",
    }
    return types | {name for key, name in older.items() if protection.get(key)}


def _environment() -> Finding:
    place = f"environment {ENVIRONMENT}"
    document = _document(f"{REPOSITORY}/environments/{ENVIRONMENT}")
    if document is None:
        message = "not there: GitHub makes it without any limit, and any branch may deploy"
        return Finding(State.OPTIONAL, place, message, f"make it, with {MAIN} as its only branch")
    if not document.get("deployment_branch_policy"):
        way_out = f"Settings → Environments → {ENVIRONMENT}: only {MAIN}"
        return Finding(State.OPTIONAL, place, "any branch may deploy", way_out)
    kinds = {str(rule["type"]) for rule in document.get("protection_rules", ())}
    reviewed = "; a person approves each deployment" if "required_reviewers" in kinds else ""
    return Finding(State.OK, place, f"limited to branches{reviewed}")


def _package(image: str) -> Iterator[Finding]:
    """Say whether a host can pull the image without a login."""
    owner, _, name = image.removeprefix(HOSTED).partition("/")
    if not image.startswith(HOSTED) or not name:
        return
    place = f"package {image}"
    quoted = name.replace("/", "%2F")
    kinds = ("users", "orgs")
    documents = (_document(f"{kind}/{owner}/packages/container/{quoted}") for kind in kinds)
    document = next((each for each in documents if each is not None), None)
    if document is None:
        message = "not there yet, or this login lacks the scope read:packages"
        yield Finding(State.OPTIONAL, place, message)
    elif document.get("visibility") == "public":
        yield Finding(State.OK, place, "is public")
    else:
        message = f"is {document.get('visibility')}: a host needs a login to pull it"
        yield Finding(State.OPTIONAL, place, message, "make it public, or give the host a token")


def _scopes() -> Iterator[Finding]:
    """Say what the login of `gh` lacks to change workflows; a fine-grained token does not tell."""
    head = attempt("gh", "api", "--include", "user").stdout.partition("\n\n")[0]
    headers = dict(
        (name.lower(), value.strip())
        for name, colon, value in (line.partition(":") for line in head.splitlines()[1:])
        if colon
    )
    scopes = {scope.strip() for scope in headers.get("x-oauth-scopes", "").split(",")} - {""}
    if not scopes:
        return
    if lacking := sorted({"repo", "workflow"} - scopes):
        message = f"lacks {', '.join(lacking)}, so it cannot push changes of the workflows"
        way_out = f"gh auth refresh --scopes {','.join(lacking)}"
        yield Finding(State.OPTIONAL, "login of gh", message, way_out)
    else:
        yield Finding(State.OK, "login of gh", "may push workflows")


def _document(path: str) -> Any | None:
    """Return what GitHub's API answers; None where it has nothing there, or does not say."""
    done = attempt("gh", "api", path)
    if done.returncode:
        return None
    try:
        return json.loads(done.stdout)
    except ValueError:
        return None
