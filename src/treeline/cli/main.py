"""The command line → one subcommand, its output and its exit code.

Exit codes: 0 done; 1 a model was refused, something is wrong, or an error, which is one line on
standard error; 2 a command line that cannot be parsed; 130 Ctrl-C; 141 the reader went away.
"""

import os
import sys
from collections.abc import Callable

import click

from treeline import __version__
from treeline.cli import (
    classes,
    contests,
    delivery,
    importing,
    models_repository,
    pipeline,
    server,
)
from treeline.errors import TreelineError
from treeline.registry import admit_own_classes

INTERRUPTED = 130  # what a shell gives a command that Ctrl-C ended
CLOSED = 141  # and one that still had work to do when its reader went


def ends(command: Callable[[], object]) -> None:
    """Run a command: print the text it returns, or end the process with the number it returns."""
    code = CLOSED
    try:
        answer = command()
        code = answer if isinstance(answer, int) else 0
        if answer and isinstance(answer, str):
            print(answer)
        sys.stdout.flush()
    except TreelineError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        # What is still to be written goes nowhere, or Python would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if code:
        sys.exit(code)


NAME = "treeline"
MISUSED = 2

GROUPS = {
    "A repository of one's own": models_repository.COMMANDS,
    "Models": (
        *pipeline.COMMANDS,
        *contests.COMMANDS,
        *importing.COMMANDS,
        *classes.COMMANDS,
    ),
    "Training and delivery, as the workflows do them": delivery.COMMANDS,
    "A server that follows releases, or trains": server.COMMANDS,
}


class Commands(click.Group):
    """The subcommands, listed by what they are for."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a list for each group, in the order in which they are used."""
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(each.name or "", each.get_short_help_str(66)) for each in commands]
                )


@click.group(
    name=NAME,
    cls=Commands,
    commands=[each for commands in GROUPS.values() for each in commands],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`treeline COMMAND --help` shows what a command takes, with an example. "
    'Completion for bash: eval "$(_TREELINE_COMPLETE=bash_source treeline)"; '
    "for zsh and fish put their name in the place of bash.",
)
@click.version_option(__version__, prog_name=NAME)
def treeline() -> None:
    """Ship tabular models from git: declare one, reproduce it, serve it."""


def main() -> None:
    """Run the command that the arguments of the process name, and end the process as it ends."""
    ends(_run)


def _run() -> object:
    """Return what the subcommand returns: a text to print, an exit code, or nothing."""
    admit_own_classes()
    try:
        return treeline.main(prog_name=NAME, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return MISUSED
    except click.UsageError as error:
        place = error.ctx.command_path if error.ctx else NAME
        click.echo(f"{place}: {error.format_message()} See {place} --help.", err=True)
        return MISUSED
    except click.Abort:
        raise KeyboardInterrupt from None
