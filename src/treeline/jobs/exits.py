"""Why a job fails, and how the first process in its container says so.

That process imports this and the standard library: it is there before anything of the job is.
"""

from typing import Literal

Reason = Literal[
    "script",  # it ended with an error
    "requirements",  # neither the image nor a wheelhouse has what the job requires
    "output",  # there is no model, or one that is too large
    "time",
    "memory",
    "disk",
    "log",
    "audit",  # the model is refused, as an upload would be
    "name",  # the name of the model is another's, or there is no room for it
    "runner",  # the machine that ran it, or its engine
]

MARK = "treeline: "  # begins the line that says why
SCRIPT, OUTPUT, REQUIREMENTS, TIME, DISK, RUNNER, MEMORY = 70, 71, 72, 73, 74, 75, 76

REASONS: dict[int, Reason] = {
    SCRIPT: "script",
    OUTPUT: "output",
    REQUIREMENTS: "requirements",
    TIME: "time",
    DISK: "disk",
    RUNNER: "runner",
    MEMORY: "memory",
}


class Ended(Exception):
    """A job ends here, with an exit code and words on why."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
