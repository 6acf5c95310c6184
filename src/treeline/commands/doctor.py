"""What is set, what may be set, what is wrong: one finding for each check, offline ones first."""

import os
from collections.abc import Iterator, Sequence

from treeline.doctor.checkup import examined
from treeline.doctor.finding import Finding
from treeline.doctor.settings import SECRETS

# No browser is opened for Google, and an S3 server that is not there is not asked five times.
IMPATIENT = {"GDRIVE_NON_INTERACTIVE": "1", "AWS_MAX_ATTEMPTS": "1"}


def examine() -> Iterator[tuple[str, Sequence[Finding]]]:
    """Yield the findings by the name of their group, each group as soon as it is known."""
    for name, value in IMPATIENT.items():
        os.environ.setdefault(name, value)
    yield from examined(os.environ)


def secrets() -> list[str]:
    """Return the secrets of the environment, which no output may show."""
    return [os.environ.get(name, "") for name in SECRETS]
