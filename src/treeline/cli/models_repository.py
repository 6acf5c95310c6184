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


@click.command(epilog=example("treeline upgrade --check"))
@click.option("--check", is_flag=True, help="Only say what would change; write nothing.")
@click.option(
    "--framework",
    metavar="PLACE",
    help="Where it installs Treeline from; where this one is from, if not given.",
)
@with_locks
def upgrade(*, check: bool, framework: str | None, locks: tuple[str, ...]) -> int:
    """Bring a repository of models to the Treeline installed.

    Files that nobody edited are replaced; edited ones are merged, and conflicts are marked and
    named. What is its owner's alone, such as params.yaml, is left alone. Says which models are
    trained anew, and why. Ends with exit code 1 where a person must look at a file.
    """
    from treeline.commands import upgrade as command
    from treeline.errors import ConfigError
    from treeline.stages.anew import trained_anew

    plan = command.planned(source=framework, locks=locks)
    print(plan.to_text())
    if plan.is_due:
        try:
            models = list(map(str, trained_anew(tuple(plan.libraries))))
        except ConfigError as error:
            models = [f"this version cannot read the declaration: {error}"]
        print("\n".join(["Models:", *(f"  {each}" for each in models)]))
    if plan.is_due and not check:
        command.upgrade(plan)
        print(
            "Written, not committed. Look at it: git diff. Back: git stash --include-untracked.\n"
            "Then: make test, git add --all, git commit"
        )
    return 1 if plan.broken else 0


COMMANDS = (new, upgrade)
