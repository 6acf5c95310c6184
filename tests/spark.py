"""What the tests of Spark share: Java, and one session for a module."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from treeline.engines.spark import quiet, session

NEEDS_JAVA = pytest.mark.skipif(shutil.which("java") is None, reason="needs Java 17")


# Compiling for a long run costs short ones more than it brings.
SHORT_RUN = {"SPARK_SUBMIT_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}


def shared() -> Iterator[Any]:
    """Yield a session, in which all others of this process are this one."""
    with pytest.MonkeyPatch.context() as patch, quiet():
        for key, value in SHORT_RUN.items():
            patch.setenv(key, value)
        with session("tests") as started:
            yield started
