"""A command's `main` → its words on the terminal and its exit code, whatever ends it.

A reader that goes away (`| head -1`), Ctrl-C and an error that is Treeline's own are no tracebacks.
"""

import os
import sys
from collections.abc import Callable

from treeline.errors import TreelineError

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
