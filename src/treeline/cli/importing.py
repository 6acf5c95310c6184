"""The subcommand `import`: a model that was fitted elsewhere becomes one that is declared here."""

import sys
from typing import TYPE_CHECKING

import click

from treeline.cli.options import example

if TYPE_CHECKING:
    from treeline.contract.features import Task


def listed(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Return the names that an option lists, separated by commas."""
    return tuple(each.strip() for each in (value or "").split(",") if each.strip())


@click.command(
    "import", epilog=example("treeline import churn.skops --table customers.csv --target left")
)
@click.argument("model")
@click.option("--table", help="Rows with their truth: a CSV or Parquet file.")
@click.option("--target", help="The column of the table that it predicts.")
@click.option("--like", metavar="NAME", help="Take the rows and columns of a declared model.")
@click.option("--name", help="What it is called here; like the file, if not given.")
@click.option("--features", callback=listed, help="The columns it takes, as a,b,c in its order.")
@click.option("--classes", callback=listed, help="Its classes, as no,yes in its order.")
@click.option("--positive", help="The class of a binary target that is looked for.")
@click.option(
    "--task",
    type=click.Choice(["binary", "multiclass", "regression"]),
    help="What the target is, where the model does not say it.",
)
@click.option("--trust", is_flag=True, help="Open a file that runs code as it is opened.")
@click.option("--dry-run", is_flag=True, help="Print the block, and write nothing.")
def import_model(
    model: str,
    *,
    table: str | None,
    target: str | None,
    like: str | None,
    name: str | None,
    features: tuple[str, ...],
    classes: tuple[str, ...],
    positive: str | None,
    task: "Task | None",
    trust: bool,
    dry_run: bool,
) -> str:
    """Bring a fitted MODEL of your own, to be judged and served.

    MODEL is a file of skops, XGBoost (.json, .ubj) or ONNX; with --trust a pickle, a file of joblib
    or an address of MLflow, such as models:/churn/1. It becomes an ONNX graph, which is held
    against the model on the rows of the table, and is stored below dataset/sources/models, where
    DVC tracks it. The block in params.yaml names it; gate, card, signature and service are as for
    a model that is trained here.
    """
    from treeline.commands import import_model as command
    from treeline.drafting.hints import Hints
    from treeline.intake import Said

    brought = command.imported(
        model,
        command.Rows(table, target, like),
        name=name,
        said=Said(features, classes, trust),
        hints=Hints(task=task, positive=positive),
    )
    print("\n".join(brought.added.notes), file=sys.stderr)
    if not dry_run:
        command.store(brought)
    return command.summary(brought, written=not dry_run)


COMMANDS = (import_model,)
