"""A command of another tool → what it printed, or one error that says what it complained about."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from treeline.errors import DeliveryError

QUOTED_LINES = 12  # of a complaint: enough for its reason, too few to bury it


def run(
    *command: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    given: str | None = None,
    error: type[DeliveryError] = DeliveryError,
) -> str:
    """Run a command to its end and return what it printed on standard output.

    `env` is added to the environment, `given` is its standard input. Raises `error`, naming the
    command and the end of what it said, when it is not installed or ends with another code than 0.
    """
    done = attempt(*command, cwd=cwd, env=env, given=given, error=error)
    if done.returncode:
        quoted = (done.stderr.strip() or done.stdout.strip()).splitlines()[-QUOTED_LINES:]
        raise error(f"`{' '.join(command)}` failed:\n" + "\n".join(quoted))
    return done.stdout


def attempt(
    *command: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    given: str | None = None,
    error: type[DeliveryError] = DeliveryError,
) -> subprocess.CompletedProcess[str]:
    """Run a command that may fail; raises `error` only when it is not installed.

    Empty variables are left out: a secret that is not set arrives as an empty one, and tools take
    that for a value.
    """
    variables = {**os.environ, **(env or {})}
    try:
        return subprocess.run(
            command,
            cwd=cwd,
            env={name: value for name, value in variables.items() if value},
            input=given or "",
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except FileNotFoundError as missing:
        raise error(f"`{command[0]}` is needed and not installed") from missing
