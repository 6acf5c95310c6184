"""`python -m treeline.commands.pull [TARGET …]`: fetch data and models from the shared remote."""

import sys

from treeline.delivery import actions, notes, storage
from treeline.errors import TreelineError


def main(targets: list[str]) -> str:
    """Fetch what the remote has; say what it lacks, and what is made anew for want of a remote."""
    notes.forget()
    with notes.complaining("pull"):
        return _pulled(targets)


def _pulled(targets: list[str]) -> str:
    if storage.shared() is None:
        actions.notice(
            "There is no shared remote (DVC_REMOTE_URL): everything is made anew from the sources."
        )
        return ""
    lacking = storage.pull(*targets)
    if lacking:
        return "The remote lacks these, so they are made anew:\n  " + "\n  ".join(lacking)
    return "Everything is here."


if __name__ == "__main__":
    try:
        print(main(sys.argv[1:]))
    except TreelineError as error:
        sys.exit(str(error))
