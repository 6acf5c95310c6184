"""The subcommand that sets models beside others: on test rows, or on what a service was asked.

It imports what it runs when it runs, so that help and completion start at once.
"""

from typing import Any

import click

from treeline.cli.options import (
    Moment,
    as_json,
    example,
    of_log,
    to_json,
    usual_secret,
    with_secret,
    working,
)


@click.command(epilog=example("treeline compare --base released iris"))
@click.option("--base", default="", help="Commit, branch or tag; `released`: in service.")
@click.option("--accept", is_flag=True, help="Say what is lost, and end well.")
@click.option("--go-on", is_flag=True, help="End well; publish leaves out who must not ship.")
@click.option("--live", is_flag=True, help="On what a service was asked, as its log has it.")
@click.option(
    "--shadow", default="", help="With --live: the version of a release, not the model here."
)
@of_log
@with_secret
@click.option("--since", type=Moment(), help="With --live: from this time on; since the shadow is.")
@click.option("--until", type=Moment(), help="With --live: before this time; now.")
@as_json
@click.argument("models", nargs=-1, metavar="[MODEL]...")
def compare(
    *,
    base: str,
    accept: bool,
    go_on: bool,
    live: bool,
    models: tuple[str, ...],
    as_json: bool,
    **of_live: Any,
) -> int:
    """Compare the models here, or those named, with those of a commit.

    Both predict the same test rows. The comparison is also written to
    model/MODEL/comparison.{json,md}. Ends with exit code 1 when a model must not ship.

    With --live both are judged on the requests that the service answered: the model here, refused
    or not, or another version by --shadow, answers them from the log, which needs --log. It is
    written to build/shadow, and ends with exit code 1 as long as no model may take the place.
    """
    if live and (accept or go_on):
        raise click.UsageError("--accept and --go-on do not go with --live.")
    if live:
        return _compare_live(models, base=base or "released", as_json=as_json, **of_live)
    if not base:
        raise click.UsageError("Give --base, a commit, or `released`.")
    from treeline.commands.compare import compare as command

    with working(as_json=as_json):
        done = command(
            models,
            base=base,
            accept=accept,
            on_answer=lambda each: print(each.text + "\n", flush=True),
        )
    if as_json:
        print(to_json(done.to_dict()))
    elif accept and not done.good:
        print("Accepted all the same, as asked.")
    return 0 if done.good or accept or go_on else 1


def _compare_live(
    models: tuple[str, ...],
    *,
    base: str,
    as_json: bool,
    shadow: str,
    log: str,
    secret: str | None,
    since: float | None,
    until: float | None,
) -> int:
    """Set models in the shadow of those in service."""
    from treeline.commands.live import HERE, compare_live

    if not log:
        raise click.UsageError("Give --log, or set TREELINE_LOG.")
    with working(as_json=as_json):
        done = compare_live(
            models,
            base=base,
            shadow=shadow or HERE,
            log=(log, secret or usual_secret(log)),
            times=(since, until),
        )
    print(
        to_json([each.to_dict() for each in done])
        if as_json
        else "\n\n".join(each.to_text() for each in done)
    )
    return 0 if all(each.good for each in done) else 1


COMMANDS = (compare,)
