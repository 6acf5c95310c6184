"""`python -m treeline.commands.comment --commit SHA | --pull-request N`: post the report."""

import argparse
import sys

from treeline.delivery import notes
from treeline.delivery.commenting import on_commit, on_pull_request
from treeline.errors import DeliveryError, TreelineError


def main(arguments: list[str]) -> str:
    """Post the report of the run in this checkout; return where it can be read."""
    parser = argparse.ArgumentParser(prog="comment", description=__doc__)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--commit", help="the commit to comment on")
    target.add_argument("--pull-request", help="the number of the pull request to comment on")
    asked = parser.parse_args(arguments)
    if not notes.REPORT.is_file():
        raise DeliveryError(f"{notes.REPORT} is not there; write it first: make report")
    if asked.commit:
        return on_commit(asked.commit, notes.REPORT)
    return on_pull_request(asked.pull_request, notes.REPORT)


if __name__ == "__main__":
    try:
        print(main(sys.argv[1:]))
    except TreelineError as error:
        sys.exit(str(error))
