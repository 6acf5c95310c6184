"""GitHub's API by its own client, `gh`, which brings the login: rows of a list, one document sent.

Every function raises DeliveryError where `gh` is not installed or GitHub refuses.
"""

import json
import os
from typing import Any

from treeline.delivery.processes import run
from treeline.errors import DeliveryError

# A key of a row, for `rows`: whether it is by an app or by somebody who may write here. In a public
# repository anybody may write what begins as our texts do.
OURS = (
    'ours: (.user.type == "Bot" or (.author_association | IN("OWNER", "MEMBER", "COLLABORATOR")))'
)


def repository() -> str:
    """Return the owner and the name of the repository of this run."""
    try:
        return os.environ["GITHUB_REPOSITORY"]
    except KeyError as missing:
        raise DeliveryError(
            "GITHUB_REPOSITORY is not set; give the owner and name, e.g. acme/forest"
        ) from missing


def rows(path: str, keys: str, *, of: str = "") -> list[dict[str, Any]]:
    """Return every row of a list that the API gives in pages, with some of its keys as jq has them.

    `of` is the member that holds the list, where the answer is not the list itself.
    """
    query = f".{of}[] | {{{keys}}} | tojson"
    lines = run("gh", "api", "--paginate", path, "--jq", query)
    return [json.loads(line) for line in lines.splitlines() if line.strip()]


def send(method: str, path: str, document: dict[str, Any]) -> dict[str, Any]:
    """Send a document to a path of the repository; return the answer, empty where there is none."""
    address = f"repos/{repository()}/{path}"
    given = json.dumps(document)
    answer = run("gh", "api", "--method", method, address, "--input", "-", given=given)
    return dict(json.loads(answer)) if answer.strip() else {}
