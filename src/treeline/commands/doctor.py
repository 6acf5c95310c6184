"""`python -m treeline.commands.doctor`: what is set, what may be set, what is wrong.

One line for each check, what can be said offline first; exits with 1 when anything is wrong.
"""

import os
import sys
from collections import Counter

from treeline.doctor.checkup import examined
from treeline.doctor.finding import State
from treeline.doctor.settings import SECRETS
from treeline.errors import TreelineError

# No browser is opened for Google, and an S3 server that is not there is not asked five times.
IMPATIENT = {"GDRIVE_NON_INTERACTIVE": "1", "AWS_MAX_ATTEMPTS": "1"}


def main() -> int:
    """Print every finding under the name of its group; return the exit code."""
    for name, value in IMPATIENT.items():
        os.environ.setdefault(name, value)
    secrets = [os.environ.get(name, "") for name in SECRETS]
    states: Counter[State] = Counter()
    for group, findings in examined(os.environ):
        print(group)
        for finding in findings:
            print(f"  {finding.told(secrets)}", flush=True)
            states[finding.state] += 1
    wrong = states[State.WRONG]
    print(f"\n{wrong or 'Nothing'} wrong, {states[State.OPTIONAL]} optional.")
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TreelineError as error:
        sys.exit(str(error))
