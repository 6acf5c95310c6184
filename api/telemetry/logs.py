"""Settings → how everything in the process writes its log: as text, or as JSON, an object a line.

What gunicorn and uvicorn have set up for themselves before is given the same form. Passwords in
URLs and API keys are masked, whoever writes them.
"""

import json
import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from starlette.types import Scope

from api.http.echoes import escaped, escaped_json
from api.http.ids import trace_id
from api.settings import Settings

SERVERS = ("gunicorn.error", "gunicorn.access", "uvicorn", "uvicorn.error", "uvicorn.access")
TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
MASK = "***"
INDENT = "    "
SECRETS = re.compile(
    r"(?<=://)([^\s:/@]*):\S+(?=@)"  # the password of a URL, which may hold anything
    r"|\btreeline_[A-Za-z0-9_-]{20,}"  # an API key
)

_request: ContextVar[tuple[str, str | None]] = ContextVar("request")


def about(scope: Scope, *, request_id: str) -> None:
    """Let what is logged from here on tell which request it is about.

    Each request runs in a task with a context of its own, so that nothing need be taken back.
    """
    _request.set((request_id, trace_id(scope)))


def masked(text: str) -> str:
    """Return a text without the secrets in it that can be told by their form."""
    return SECRETS.sub(lambda match: f"{match[1]}:{MASK}" if match[1] is not None else MASK, text)


class TextFormatter(logging.Formatter):
    """Writes for people."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return what is said in one line, lest a caller writes lines of its own into the log."""
        return escaped(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        """Return the lines of an exception, each further in than a line of the log begins."""
        lines = super().formatException(ei).split("\n")
        return "\n".join(INDENT + escaped(line) for line in lines)

    def format(self, record: logging.LogRecord) -> str:
        """Return a line, and those of an exception below it."""
        return masked(super().format(record))


class JsonFormatter(logging.Formatter):
    """Writes for machines."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one JSON object in one line."""
        document = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": masked(record.getMessage()),
        }
        request_id, trace = _request.get((None, None))
        if request_id is not None:
            document["request_id"] = request_id
        if trace is not None:
            document["trace_id"] = trace
        if record.exc_info:
            document["exception"] = masked(self.formatException(record.exc_info))
        return escaped_json(json.dumps(document, ensure_ascii=False))


def configure(settings: Settings) -> None:
    """Set up the log of the whole process; called where a process begins, never by an import."""
    formatter = JsonFormatter() if settings.log_format == "json" else TextFormatter(TEXT)
    root, level = logging.getLogger(), settings.log_level.upper()
    if not root.handlers:
        root.addHandler(logging.StreamHandler(sys.stderr))
    root.setLevel(level)
    for name in SERVERS:
        if not name.endswith("access"):
            logging.getLogger(name).setLevel(level)
    for handler in {each for name in ("", *SERVERS) for each in logging.getLogger(name).handlers}:
        if settings.log_format == "json" or handler in root.handlers:
            handler.setFormatter(formatter)
