"""Subcommands for a repository of models of one's own: made, and brought up to date."""

from collections.abc import Iterable
from pathlib import Path

import click

from treeline.cli.options import Choices, example


def _examples() -> Iterable[str]:
    """Return the names of the examples that a repository can begin with."""
    from treeline.scaffold.contents import EXAMPLES

    return EXAMPLES


def _locks() -> Iterable[str]:
    """Return the names of the lock files that only some repositories need."""
    from treeline.scaffold.contents import LOCKS

    return LOCKS


with_locks = click.option(
    "--with",
    "locks",
    multiple=True,
    metavar="LOCK",
    type=Choices("lock file", _locks),
    help="A lock file besides, such as lab or signing; repeat it.",
)


@click.command(epilog=example("treeline new forecasts --from staff.csv --target left"))
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--example",
    "name",
    type=Choices("example", _examples),
    default="penguins",
    help="Its model: penguins, tree-survival or fraud, all of simulated rows; or empty.",
)
@click.option("--from", "table", metavar="TABLE", help="Draft its model from a table, as add does.")
@click.option("--target", help="The column of that table to predict.")
@click.option(
    "--framework",
    metavar="PLACE",
    help="Where it installs Treeline from: a wheel, a checkout, git+https://…, or index. "
    "Where this one is from, if not given.",
)
@with_locks
def new(
    folder: Path,
    *,
    name: str,
    table: str | None,
    target: str | None,
    framework: str | None,
    locks: tuple[str, ...],
) -> str:
    """Make a repository of models in the folder DIR.

    It declares, trains, tests, serves and releases models of one's own, and installs Treeline as a
    package. All of its files are its owner's. Its two commands are `make run` and `make test`.
    """
    from treeline.commands.new import Draft
    from treeline.commands.new import new as command

    if (table is None) != (target is None):
        raise click.UsageError("--from and --target go together.")
    draft = Draft(table, target) if table is not None and target is not None else None
    return command(folder, example=name, source=framework, locks=locks, draft=draft)


COMMANDS = (new,)
