"""A command of another tool → what it printed, or one error that says what it complained about."""

import subprocess

from treeline.errors import AgentError

QUOTED_LINES = 12
PULL_SECONDS = 3600.0  # an image over a slow line; nothing else takes as long


def run(*command: str, seconds: float = PULL_SECONDS) -> str:
    """Run a command to its end and return what it printed; raises AgentError where it fails."""
    done = attempt(*command, seconds=seconds)
    if done.returncode:
        quoted = (done.stderr.strip() or done.stdout.strip()).splitlines()[-QUOTED_LINES:]
        raise AgentError(f"`{' '.join(command)}` failed:\n" + "\n".join(quoted))
    return done.stdout


def attempt(*command: str, seconds: float = PULL_SECONDS) -> subprocess.CompletedProcess[str]:
    """Run a command that may fail; raises AgentError where it is not installed or does not end."""
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=seconds,
        )
    except FileNotFoundError as missing:
        raise AgentError(f"`{command[0]}` is needed and not installed") from missing
    except OSError as error:
        raise AgentError(f"`{' '.join(command)}`: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise AgentError(f"`{' '.join(command)}` did not end within {seconds:g} seconds") from error
