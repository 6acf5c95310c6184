"""`python -m treeline.commands.report`: what the run did → build/run/report.md, and its page."""

import os
import sys

from treeline.config import read_params
from treeline.delivery import actions, notes
from treeline.delivery.account import Account, account
from treeline.delivery.report import report, shortened, worth_a_comment
from treeline.errors import ConfigError, TreelineError
from treeline.files import write_text


def main() -> Account:
    """Write the report, and hand on which commit it is a comment of, if of any."""
    server, name = os.environ.get("GITHUB_SERVER_URL", ""), os.environ.get("GITHUB_REPOSITORY", "")
    browser = f"{server}/{name}" if server and name else ""
    run = os.environ.get("GITHUB_RUN_ID")
    told = account(
        _declared(),
        reason=os.environ.get("REASON", "").strip(),
        browser=browser,
        run=f"{browser}/actions/runs/{run}" if browser and run else "",
    )
    text = report(told)
    write_text(notes.REPORT, shortened(text, told))
    actions.summarise(text)
    print(text)
    commit = (told.published and told.published.commit) or os.environ.get("GITHUB_SHA", "")
    actions.output(commit=commit if worth_a_comment(told) else "")
    return told


def _declared() -> list[str]:
    """Return the declared models; none when the declaration is what is wrong."""
    try:
        return list(read_params().models)
    except ConfigError:
        return []


if __name__ == "__main__":
    try:
        main()
    except TreelineError as error:
        sys.exit(str(error))
