"""What the run did → build/run/report.md, and the page of the run."""

import os

from treeline.config import read_params
from treeline.delivery import actions, notes
from treeline.delivery.account import Account, account
from treeline.delivery.report import report, shortened, worth_a_comment
from treeline.errors import ConfigError
from treeline.files import write_text


def write_report() -> Account:
    """Write the report, and hand on which commit it is a comment of, if of any."""
    server, name = os.environ.get("GITHUB_SERVER_URL", ""), os.environ.get("GITHUB_REPOSITORY", "")
    browser = f"{server}/{name}" if server and name else ""
    run = os.environ.get("GITHUB_RUN_ID")
    run_account = account(
        _declared(),
        reason=os.environ.get("REASON", "").strip(),
        browser=browser,
        run=f"{browser}/actions/runs/{run}" if browser and run else "",
    )
    text = report(run_account)
    write_text(notes.REPORT, shortened(text, run_account))
    actions.summarise(text)
    print(text)
    commit = (run_account.published and run_account.published.commit) or os.environ.get(
        "GITHUB_SHA", ""
    )
    actions.output(commit=commit if worth_a_comment(run_account) else "")
    return run_account


def _declared() -> list[str]:
    """Return the declared models; none when the declaration is what is wrong."""
    try:
        return list(read_params().models)
    except ConfigError:
        return []
