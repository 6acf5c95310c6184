"""build/site → one commit on the branch gh-pages of the remote repository, in place of the former.

The commit has no parent: a site is made from main, which has the history. Raises PublishingError.
"""

import sys
from pathlib import Path

from treeline.delivery.repository import folder, push
from treeline.errors import PublishingError

SITE = Path("build/site")
BRANCH = "gh-pages"


def publish(site: Path = SITE) -> str:
    """Push a site and return the commit; a file `.nojekyll` lets GitHub serve it as it is."""
    (site / ".nojekyll").touch()
    commit = folder(site, message="Build the documentation")
    if complaint := push(f"+{commit}:refs/heads/{BRANCH}"):
        raise PublishingError(f"the branch {BRANCH} cannot be pushed: {complaint}")
    return commit


if __name__ == "__main__":
    try:
        print(f"{BRANCH} is {publish()}")
    except PublishingError as error:
        sys.exit(str(error))
