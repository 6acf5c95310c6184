"""The command `treeline` in this process: what it returns, and the errors that it raises."""

from treeline.cli.main import treeline as commands


def treeline(*arguments: str) -> object:
    """Run a subcommand; return its text, its exit code or nothing."""
    return commands.main(list(arguments), prog_name="treeline", standalone_mode=False)
