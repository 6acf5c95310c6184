"""Subcommands for classes of one's own: begin one, and look at what it keeps."""

from typing import TYPE_CHECKING

import click

from treeline.cli.options import example

if TYPE_CHECKING:
    from treeline.contract.features import Task


@click.command("new-class", epilog=example("treeline new-class regressor own.growth.Growth"))
@click.argument("kind", type=click.Choice(["classifier", "metric", "preprocessor", "regressor"]))
@click.argument("path")
def new_class(kind: str, path: str) -> str:
    """Begin a class of your own in src/own.

    KIND is what it does, PATH what a declaration names it by: own.<module>.<Class>. The module that
    is written keeps all that check-class looks at; put what you know in its place.
    """
    from treeline.commands import classes as command

    file = command.new_class(kind, path)
    return f"{file} is written; change it, then: treeline check-class {path}"


@click.command("check-class", epilog=example("treeline check-class own.growth.Growth --model iris"))
@click.argument("path")
@click.option("--model", help="Draw rows as this declared model has them.")
@click.option(
    "--task",
    type=click.Choice(["binary", "multiclass", "regression"]),
    help="What it predicts, or is put before.",
)
def check_class(path: str, *, model: str | None, task: "Task | None") -> int:
    """Look at what a class of your own keeps.

    It is copied, fitted, asked and pickled as the pipeline does, on rows that are drawn: it may
    change no rows, must learn the same each time, and answer a row alone as among others. Whether
    it takes missing values, and an ONNX graph repeats it, is said. A metric is asked about answers
    that are drawn: right ones must not be worse than shuffled ones. Ends with 1 where it is wrong.
    """
    from treeline.commands import classes as command

    findings = command.check_class(path, model=model, task=task)
    print(command.lines(findings))
    return int(any(each.word == "wrong" for each in findings))


COMMANDS = (new_class, check_class)
