"""What options and help have in common: choices that are looked up late, and examples."""

from collections.abc import Callable, Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem


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
