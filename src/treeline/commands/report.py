"""What the run did → build/run/report.md, and the page of the run."""

import os

from treeline.config import read_params
from treeline.delivery import actions, notes
from treeline.delivery.account import RunSummary, summarised
from treeline.delivery.report import report, shortened, worth_a_comment
from treeline.errors import ConfigError
from treeline.files import write_text


def write_report() -> RunSummary:
    """Write the report, and hand on which commit it is a comment of, if of any."""
    summary = summarised(
        _declared(),
        reason=os.environ.get("REASON", "").strip(),
        browser=actions.repository_page(),
        run=actions.run_page(),
    )
    text = report(summary)
    write_text(notes.REPORT, shortened(text, summary))
    actions.summarise(text)
    print(text)
    commit = (summary.published and summary.published.commit) or os.environ.get("GITHUB_SHA", "")
    actions.output(commit=commit if worth_a_comment(summary) else "")
    return summary


def is_alarming() -> bool:
    """Tell whether the run in this checkout has something new that a person must look at."""
    return summarised(_declared()).alarming


def _declared() -> list[str]:
    """Return the declared models; none when the declaration is what is wrong."""
    try:
        return list(read_params().models)
    except ConfigError:
        return []
