"""The branch that a training was pushed to → its pull request, with the report as its text."""

from treeline.delivery import actions, issues, notes, releasing
from treeline.delivery.processes import run
from treeline.errors import DeliveryError


def propose(branch: str, *, dispatch: str = "") -> str:
    """Open the pull request, or bring it up to date; return its address.

    `dispatch` is the workflow that tests it, where GitHub does not start it: a pull request that
    the token of a run opens starts none.
    """
    if not notes.REPORT.is_file():
        raise DeliveryError(f"{notes.REPORT} is not there; write it first: make report")
    body = notes.REPORT.read_text(encoding="utf-8")
    title = run("git", "log", "-1", "--format=%s").strip()
    pull = issues.pull_request(branch, base=releasing.MAIN, title=title, body=body)
    if dispatch:
        issues.dispatch(dispatch, branch)
    merges = issues.merge_by_itself(pull)
    ending = "It is merged when its checks have passed." if merges else "A person merges it."
    address = str(pull["html_url"])
    actions.notice(f"{address} has the models. {ending}")
    actions.summarise(f"[The pull request]({address}) has the models. {ending}")
    return address
