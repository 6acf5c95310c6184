"""Subcommands of a server that runs releases or jobs; they need the base of this package alone.

It imports what it runs when it runs, so that help and completion start at once.
"""

import os
from pathlib import Path

import click

from treeline.cli.options import example

AGENT_FILE = Path("/etc/treeline/agent.toml")
RUNNER_FILE = Path("/etc/treeline/runner.toml")
BY_HAND = "somebody went back by hand: treeline agent back"


@click.command(epilog=example("treeline agent run"))
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="TREELINE_AGENT",
    default=AGENT_FILE,
    show_default=True,
    help="The settings of the agent [TREELINE_AGENT].",
)
@click.argument("action", type=click.Choice(["run", "status", "back", "retry"]), default="run")
def agent(action: str, config: Path) -> str:
    """Follow the releases on this machine: run what is due.

    `run` asks what is to run, puts it in service beside what is there, and goes back when it fails.
    `status` says what is in service, `back` returns to the former release, `retry` forgets what was
    refused.
    """
    from treeline.agent.assembling import agent_of, status_of

    if action == "status":
        return status_of(config)
    os.umask(0o022)  # the front and the slots run as others, and read what the agent writes
    following = agent_of(config)
    if action == "back":
        return following.go_back(BY_HAND)
    return following.retry() if action == "retry" else following.run()


@click.command(epilog=example("treeline runner"))
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="TREELINE_RUNNER",
    default=RUNNER_FILE,
    show_default=True,
    help="The settings of the runner [TREELINE_RUNNER].",
)
def runner(config: Path) -> None:
    """Run training jobs in containers until it is stopped.

    Jobs come from the folder that the service writes them to. What runs goes on when this process
    ends, and is taken up by the next one.
    """
    from treeline.runner.serving import serve

    serve(config)


COMMANDS = (agent, runner)
