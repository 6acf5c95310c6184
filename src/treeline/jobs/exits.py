"""How the first process in the container of a job says what came of it."""

from treeline.jobs.documents import Reason

MARK = "treeline: "  # begins the line that says why
SCRIPT, OUTPUT, REQUIREMENTS, TIME, DISK = 70, 71, 72, 73, 74

REASONS: dict[int, Reason] = {
    SCRIPT: "script",
    OUTPUT: "output",
    REQUIREMENTS: "requirements",
    TIME: "time",
    DISK: "disk",
}
