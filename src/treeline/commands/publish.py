"""`python -m treeline.commands.publish`: store what was trained, commit it, push, release."""

import os
import sys

from treeline.delivery import actions, notes, releasing, repository, tracking
from treeline.delivery.publishing import Published, publish
from treeline.errors import TreelineError


def main() -> Published:
    """Publish, and leave a note for the report, of a failure too."""
    with notes.complaining("publish"):
        published = publish(reason=os.environ.get("REASON", ""))
    notes.leave(notes.PUBLISHED, published.plain())
    if published.note:
        actions.notice(published.note)
    actions.output(commit=published.commit or "", changed=str(published.changed).lower())
    if published.commit and repository.branch() == releasing.MAIN:
        tracking.follow(pushed=published.commit)
    return published


if __name__ == "__main__":
    try:
        main()
    except TreelineError as error:
        sys.exit(str(error))
