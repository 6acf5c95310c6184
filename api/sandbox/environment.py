"""All that a process which touches strangers' bytes learns of the environment: no keys, no URL."""

import os
from pathlib import Path

TOP = Path(__file__).parents[2]
"""Where `python -m api.…` finds this package, installed or not."""
PASSED_ON = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "TZ")
# Address space that is reserved before the limit is set could be filled beyond it.
OWN = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # others reserve a gibibyte with their first byte
    "OPENBLAS_NUM_THREADS": "1",  # each thread reserves some for its stack
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "ORT_DISABLE_TELEMETRY": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def minimal() -> dict[str, str]:
    """Return that environment."""
    return OWN | {name: os.environ[name] for name in PASSED_ON if name in os.environ}
