"""Subcommands for models: what is declared, trained, compared and scored here.

A subcommand imports what it runs when it runs, so that help and completion start at once.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from treeline.cli.options import Choices, as_json, engines, example, runtimes, to_json, working

if TYPE_CHECKING:
    from treeline.commands.repro import Reproduction
    from treeline.contract.features import Task
    from treeline.drafting.hints import Mark

INTERRUPTED = 130
DVC_OPTIONS = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.command(epilog=example("treeline params"))
@click.option("--schema", is_flag=True, help="Print the JSON schema that params.yaml fits.")
@as_json
def params(schema: bool, as_json: bool) -> str:
    """Check params.yaml, and say what it declares.

    Every mistake is named with its place: names, options and grids are looked at, and the first
    rows of each source.
    """
    from treeline.commands import params as command
    from treeline.config import PARAMS

    if schema:
        return to_json(command.schema())
    with working(as_json=as_json):
        declared = command.overview(command.check())
    if as_json:
        return to_json(declared)
    lines = [
        f"{name}: {model['features']} features of {model['source']} rows, "
        f"{len(model['candidates'])} candidates, champion by {model['metric']}"
        for name, model in declared["models"].items()
    ]
    return "\n".join([f"{PARAMS}: good; the default model is {declared['default']}", *lines])


@click.command(context_settings=DVC_OPTIONS, epilog=example("treeline repro --force"))
@as_json
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTION OF dvc repro]...")
def repro(options: tuple[str, ...], as_json: bool) -> int:
    """Run the stages that are out of date, for every model.

    Options and targets of `dvc repro` are handed on, behind those of this command. Ends with a
    table of the models; with exit code 1 where a stage failed or the gate refused, which keeps no
    other model from being made.
    """
    from treeline.commands.repro import reproduce

    return _reproduced(lambda: reproduce(options), as_json=as_json)


@click.command(context_settings=DVC_OPTIONS, epilog=example("treeline train iris --force"))
@as_json
@click.argument("model")
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTION OF dvc repro]...")
def train(model: str, options: tuple[str, ...], as_json: bool) -> int:
    """Bring one MODEL up to date, up to its export."""
    from treeline.commands.repro import train as command

    return _reproduced(lambda: command(model, options), as_json=as_json)


def _reproduced(run: "Callable[[], Reproduction]", *, as_json: bool) -> int:
    """Run the pipeline, print its table, and return the exit code."""
    from treeline.delivery.pipeline import Interrupted

    try:
        with working(as_json=as_json):
            done = run()
    except Interrupted as stopped:
        begun = [f"{run.stage} {run.model}" for run in stopped.runs if not run.ended]
        click.echo(
            f"\nStopped{f' in {begun[-1]}' if begun else ''}. Tracked files are as they were; "
            "go on where it stopped: make repro",
            err=as_json,
        )
        return INTERRUPTED
    if as_json:
        print(to_json(done.to_dict()))
    else:
        print(f"\n{done.to_text()}", flush=True)
        for text in done.failures:
            print(text, file=sys.stderr, flush=True)
    return 1 if done.failures else 0


@click.command(epilog=example("treeline adopt tree-survival path/to/table.csv"))
@click.argument("model")
@click.argument("file", type=click.Path(path_type=Path))
def adopt(model: str, file: Path) -> str:
    """Take a data FILE of your own as the rows of MODEL.

    The file is copied below dataset/sources/file, where DVC tracks it, and declared as the source
    of the model in params.yaml. A file that lacks a declared column changes nothing.
    """
    from treeline.commands.adopt import adopt as command
    from treeline.config import PARAMS
    from treeline.config.sources import FILES

    source = command(model, file)
    return (
        f"{model} now learns from {source.path}, which DVC tracks; next:\n"
        f"  make repro && dvc push && git add {PARAMS} {FILES} dvc.lock model dataset && git commit"
    )


@click.command(epilog=example("treeline add staff.csv --target left"))
@click.argument("table")
@click.option("--target", required=True, help="The column to predict.")
@click.option("--name", help="What the model is called; like the file, if not given.")
@click.option("--dry-run", is_flag=True, help="Print the block, and write nothing.")
@click.option("--table", "db_table", metavar="NAME", help="Of a database: the table to read.")
@click.option("--query", metavar="SQL", help="Of a database: the query to read instead.")
@click.option("--order-by", multiple=True, metavar="COLUMN", help="The order of the rows.")
@click.option("--encoding", help="The encoding of the file, such as cp1252.")
@click.option("--delimiter", help="What separates its fields: one character, or tab.")
@click.option("--decimal", type=click.Choice(["point", "comma"]), help="Its decimal mark.")
@click.option("--missing", multiple=True, metavar="WORD", help="No value, anywhere; repeat it.")
@click.option("--values", multiple=True, metavar="WORD", help="A value, for all its looks.")
@click.option("--leave-out", multiple=True, metavar="COLUMN", help="No feature; repeat it.")
@click.option(
    "--fold-case", multiple=True, metavar="COLUMN", help="YES and yes are one in it; repeat it."
)
@click.option(
    "--task",
    type=click.Choice(["binary", "multiclass", "regression"]),
    help="What the target is, where numbers may be amounts or classes.",
)
@click.option("--positive", help="The class of a binary target that is looked for.")
def add(
    table: str,
    *,
    target: str,
    name: str | None,
    dry_run: bool,
    db_table: str | None,
    query: str | None,
    order_by: tuple[str, ...],
    encoding: str | None,
    delimiter: str | None,
    decimal: "Mark | None",
    missing: tuple[str, ...],
    values: tuple[str, ...],
    leave_out: tuple[str, ...],
    fold_case: tuple[str, ...],
    task: "Task | None",
    positive: str | None,
) -> str:
    """Draft a model from a TABLE, to be corrected and trained.

    TABLE is a CSV or Parquet file, library:iris, or the URL of a database with --table or --query.
    Its block is written to params.yaml: types, categories, limits, what is left out and why, a
    split, candidates and a gate. A file is stored below dataset/sources/file, where DVC tracks it.
    What was read as what is printed; what can be read in two ways is asked for by an option, and
    changes nothing.
    """
    from treeline.commands import add as command
    from treeline.drafting.hints import Hints

    hints = Hints(
        encoding=encoding,
        delimiter="\t" if delimiter in ("tab", "\\t") else delimiter,
        decimal=decimal,
        missing=missing,
        values=values,
        leave_out=leave_out,
        fold_case=fold_case,
        task=task,
        positive=positive,
    )
    given: str | command.DatabaseRows = table
    if "://" in table:
        given = command.DatabaseRows(table, db_table, query, order_by)
    elif db_table or query or order_by:
        raise click.UsageError("--table, --query and --order-by are of a database: give its URL.")
    added = command.addition(given, target, name=name, hints=hints)
    print("\n".join(added.notes), file=sys.stderr)
    if not dry_run:
        command.write(added)
    return command.summary(added, written=not dry_run)


@click.command(epilog=example("treeline forget sugar"))
@click.option("--list", "listed", is_flag=True, help="Only name what is declared no more.")
@click.argument("model", required=False)
def forget(model: str | None, listed: bool) -> str:
    """Remove a MODEL, or all that params.yaml declares no more.

    Its block of params.yaml goes, its stages in dvc.lock, and its folders below model/ and
    dataset/. DVC's cache keeps the data, git what was committed.
    """
    from treeline.commands.forget import forget as command
    from treeline.commands.forget import leftovers

    if listed:
        names = leftovers()
        for name in names:
            print(
                f"model/{name} is declared no more and is not served; remove it: make forget",
                file=sys.stderr,
            )
        return ",".join(names)
    names = [model] if model else leftovers()
    return "\n".join(map(command, names)) or "Nothing is left over; name one: make forget MODEL=…"


@click.command(epilog=example("treeline rename sugar blood-sugar"))
@click.argument("model")
@click.argument("name")
def rename(model: str, name: str) -> str:
    """Give a MODEL another NAME.

    Its key of params.yaml and its rows have the new name then. What its stages made bears the old
    one: it goes, and is made again. The prediction log keeps the names of its time.
    """
    from treeline.commands.rename import rename as command

    return command(model, name)


@click.command(epilog=example("treeline score tree-survival rows.parquet scored.parquet --keep No"))
@click.argument("model")
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUTPUT", type=click.Path(path_type=Path))
@click.option(
    "--engine",
    type=Choices("engine", engines),
    default="local",
    help="local, or spark on the cluster that SPARK_MASTER names.",
)
@click.option(
    "--keep", multiple=True, metavar="COLUMN", help="A column that goes along; repeat it."
)
@click.option(
    "--bad-rows",
    type=click.Choice(["refuse", "report"]),
    default="refuse",
    help="Where rows break the signature, write nothing or their reasons.",
)
@click.option(
    "--admit",
    type=Choices("runtime", runtimes),
    default="onnx",
    help="The runtime of the model: onnx, or pickle or h2o from a folder that you trust.",
)
@click.option(
    "--models", type=click.Path(path_type=Path), default=Path("model"), help="Their folder."
)
def score(
    model: str,
    source: Path,
    target: Path,
    *,
    engine: str,
    keep: tuple[str, ...],
    bad_rows: str,
    admit: str,
    models: Path,
) -> str:
    """Write a prediction for each row of a table.

    INPUT is a Parquet file, a folder of them, or a CSV. OUTPUT is Parquet, replaced in one step
    when every row is scored. Columns that are no features are left out unless kept. With spark both
    are paths that all workers see, and OUTPUT is a folder.
    """
    from treeline.commands.score import score as command
    from treeline.scoring import Job

    started = time.perf_counter()
    job = Job(
        source=source.resolve(),
        target=target.resolve(),
        keep=keep,
        reporting=bad_rows == "report",
    )
    rows = command(model, job, models=models, runtime=admit, engine=engine)
    seconds = time.perf_counter() - started
    return f"{model}: {rows:,} rows of {source} scored in {seconds:.1f} s: {target}"


@click.command("example", context_settings=DVC_OPTIONS, epilog=example("treeline example fraud"))
@click.argument("name", default="")
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTION OF dvc repro]...")
def run_example(name: str, options: tuple[str, ...]) -> str:
    """Run the example NAME, of examples/, in build/examples/NAME.

    The files of this checkout are copied there, and the copy is a repository of its own. The models
    and the dvc.lock of this checkout stay as they are; what DVC has cached is shared.
    """
    from treeline.commands.example import example as command

    return command(name, list(options))


@click.command(epilog=example("treeline penguins mysql://user@127.0.0.1:3306/name"))
@click.option("--sql", is_flag=True, help="Write nothing; print the statements.")
@click.argument("url", required=False)
def penguins(url: str | None, sql: bool) -> str:
    """Make a table of simulated penguins in a database.

    URL is that of PostgreSQL, MySQL, MariaDB or SQLite, without a password: that is read from
    TREELINE_SQL_PASSWORD. Without a URL the table goes to dataset/sources/sql/penguins.sqlite.
    """
    from treeline.commands import penguins as command

    if sql:
        return command.script()
    return f"{command.ROWS} penguins are in the table `penguins` of {command.write(url)}"


@click.command(epilog=example("treeline track iris"))
@click.option("--if-chosen", is_flag=True, help="Only where a tracker is chosen; never fail.")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
def track(models: tuple[str, ...], if_chosen: bool) -> None:
    """Record what was trained with the tracker.

    The models named are recorded, or all. They go to MLFLOW_TRACKING_URI, or to
    .treeline/mlflow.db. With --if-chosen, as the pipeline calls it, nothing happens where neither
    the declaration nor the environment names a tracker, and a tracker that is away changes no exit
    code.
    """
    from treeline.delivery import tracking

    record = tracking.follow if if_chosen else tracking.track
    record(models)


COMMANDS = (params, repro, train, score, add, adopt, forget, rename, run_example, penguins, track)
