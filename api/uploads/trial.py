"""`python -m api.uploads.trial`: a file and its name → whether it can be served, as JSON.

It runs as a process of its own, with limits on memory and time, so that whatever a model does
while it is read, opened and run for the first time, it does to nobody else. The audit comes first;
a model with faults is not opened.
"""

import json
import re
import resource
import sys
from pathlib import Path

from pydantic import BaseModel

from api.catalogue.declaration import Upload
from api.uploads.audit import audit
from api.uploads.dry_run import dry_run
from api.uploads.limits import limits_of
from api.uploads.opening import opened
from api.uploads.outcome import Fault, Outcome
from api.uploads.protocol import model_class
from treeline.errors import Problem, TreelineError

OUT_OF_MEMORY = re.compile(
    r"bad_alloc|bad allocation|Failed to allocate memory|Unable to allocate", re.IGNORECASE
)


class Question(BaseModel):
    """What is to be tried, and the limits."""

    name: str
    file: Path
    upload: Upload
    memory_bytes: int
    seconds: int


def main(question: Question) -> Outcome:
    """Audit, open and run a model."""
    limit(resource.RLIMIT_CPU, question.seconds)
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_AS, occupied_bytes() + question.memory_bytes)
    try:
        problems = found(question)
    except MemoryError:
        problems = [without_memory(question)]
    except TreelineError as error:
        starved = OUT_OF_MEMORY.search(str(error))
        problems = [without_memory(question) if starved else Problem("model", str(error))]
    return Outcome(faults=[Fault(**fault_of(problem)) for problem in problems])


def found(question: Question) -> list[Problem]:
    """Return what is wrong with a model; raises TreelineError and MemoryError."""
    payload = question.file.read_bytes()
    parser = model_class()
    problems = audit(payload, parser, limits_of(parser))
    if not problems:
        entry = opened(question.name, payload, question.upload)
        if entry.tensor is not None:
            dry_run(entry.tensor)
    return problems


def fault_of(problem: Problem) -> dict[str, object]:
    """Return what the service tells of a problem."""
    return {"place": problem.place, "message": problem.message, "value": problem.value}


def without_memory(question: Question) -> Problem:
    """Return the problem of a model that needs more memory than it may have."""
    return Problem(
        "model",
        f"needs more than {question.memory_bytes} bytes of memory to be tried; make it smaller, "
        "or raise API_AUDIT_MEMORY_BYTES",
    )


def limit(kind: int, most: int) -> None:
    """Lower a limit of this process, for good."""
    _, hard = resource.getrlimit(kind)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


def occupied_bytes() -> int:
    """Return the address space that this process has already, for its libraries; 0 if unknown."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:  # not Linux
        return 1 << 30
    return pages * resource.getpagesize()


if __name__ == "__main__":
    outcome = main(Question.model_validate_json(sys.argv[1]))
    sys.stdout.write(json.dumps(outcome.model_dump()) + "\n")
