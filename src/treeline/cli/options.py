"""What subcommands share: choices that are looked up late, examples, and output as JSON."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from typing import Any

import click
from click.shell_completion import CompletionItem

# Of every command that reads the log of a service.
of_log = click.option(
    "--log",
    envvar="TREELINE_LOG",
    default="",
    help="URL of the service, or of the database of its log [TREELINE_LOG].",
)
with_secret = click.option(
    "--secret",
    metavar="VARIABLE",
    help="Where the key or password is: TREELINE_SERVICE_KEY, or TREELINE_SQL_PASSWORD.",
)


def usual_secret(log: str) -> str:
    """Return the variable that has the key of a service, or the password of a database."""
    return "TREELINE_SERVICE_KEY" if log.startswith("http") else "TREELINE_SQL_PASSWORD"


# Of every command whose table a machine would read.
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else.")


def working(*, as_json: bool) -> AbstractContextManager[None]:
    """Return a block in which standard output is free to use: with JSON it goes elsewhere."""
    return _on_standard_error() if as_json else nullcontext()


def to_json(document: Any) -> str:
    """Return a document as indented JSON."""
    return json.dumps(document, indent=2, ensure_ascii=False)


@contextmanager
def _on_standard_error() -> Iterator[None]:
    """Send what this process and those it starts print on standard output to standard error."""
    sys.stdout.flush()
    output, errors = sys.stdout.fileno(), sys.stderr.fileno()
    original = os.dup(output)
    os.dup2(errors, output)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(original, output)
        os.close(original)


class Choices(click.ParamType[str]):
    """One name of a table that is imported only where the option is parsed."""

    def __init__(self, name: str, names: Callable[[], Iterable[str]]) -> None:
        self.name = name
        self._names = names

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the value; fails, naming the choices, where the table has no such name."""
        names = sorted(self._names())
        if value not in names:
            self.fail(f"{value!r} is not known; choose from {', '.join(names)}.", param, ctx)
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that begin as typed."""
        return [
            CompletionItem(each) for each in sorted(self._names()) if each.startswith(incomplete)
        ]


class Moment(click.ParamType[float]):
    """A time, as ISO 8601 with its zone or as seconds since 1970 → seconds."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds; fails for a time without a zone, which would be another elsewhere."""
        try:
            return float(value)
        except ValueError:
            pass
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = datetime.min
        if moment.tzinfo is None:
            self.fail(f"{value!r} is no time with its zone, as 2030-01-31T12:00:00Z.", param, ctx)
        return moment.timestamp()


def engines() -> Iterable[str]:
    """Return the names of what can score."""
    from treeline.scoring import SCORERS

    return SCORERS


def runtimes() -> Iterable[str]:
    """Return the names of the runtimes that an artifact may have."""
    from treeline.artifact import RUNTIMES

    return RUNTIMES


def example(line: str) -> str:
    """Return an example of a command, as its help shows it at the end."""
    return f"\b\nExample:\n  {line}"
