"""One HTTP exchange, JSON both ways: method, URL and document → status and document."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from treeline import __version__

TIMEOUT_SECONDS = 30.0  # for one answer: it takes milliseconds, waking a sleeping host takes longer
NO_ANSWER = 0  # the status where none came


@dataclass(frozen=True)
class Answer:
    """What came back: the status, the JSON of the body (None where it is not JSON), and words.

    The words are the reason of a status, or why no answer came, for a person to read.
    """

    status: int
    document: Any
    words: str

    def member(self, *keys: str) -> Any:
        """Return what stands under keys inside keys of the document; None where nothing does."""
        value = self.document
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value


def exchange(
    method: str,
    url: str,
    *,
    document: Any = None,
    secrets: Mapping[str, str] | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Answer:
    """Send a request and return the answer, whatever its status; nothing is raised.

    `document` is sent as JSON unless it is None. `secrets` are headers that are not sent on to
    where the answer redirects, and that no answer repeats.
    """
    body = None if document is None else json.dumps(document).encode()
    headers = {"User-Agent": f"treeline/{__version__}", "Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    try:
        request = Request(url, data=body, headers=headers, method=method)
        for name, value in (secrets or {}).items():
            request.add_unredirected_header(name, value)
        with urlopen(request, timeout=timeout_seconds) as answer:
            return Answer(answer.status, _parsed(answer.read()), answer.reason)
    except HTTPError as error:
        with error:
            return Answer(error.code, _body(error), str(error.reason))
    except URLError as error:
        return Answer(NO_ANSWER, None, str(error.reason))
    except (OSError, HTTPException) as error:
        return Answer(NO_ANSWER, None, str(error) or type(error).__name__)
    except ValueError:  # its own words would repeat the header that is malformed
        return Answer(NO_ANSWER, None, "the URL or a header is malformed")


def _body(error: HTTPError) -> Any:
    try:
        return _parsed(error.read())
    except (OSError, HTTPException):
        return None


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
