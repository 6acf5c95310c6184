"""Java: which one would be run here, and whether an engine can use it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from treeline.errors import EngineError

VERSION = re.compile(r'version "(?:1\.)?(\d+)')


def require_java(engine: str, versions: range) -> Path:
    """Return the program `java` of JAVA_HOME, or else of PATH, if an engine can use its version.

    Raises EngineError where there is none, or one of another version.
    """
    wanted = f"{engine} needs Java {versions[0]} to {versions[-1]}"
    remedy = "install such a JRE (Debian: openjdk-17-jre-headless) or let JAVA_HOME name one"
    home = os.environ.get("JAVA_HOME")
    program = shutil.which("java", path=str(Path(home, "bin")) if home else None)
    if program is None:
        raise EngineError(f"{wanted}, and none is in {home or 'PATH'}; {remedy}")
    said = subprocess.run(
        [program, "-version"], capture_output=True, text=True, encoding="utf-8", check=False
    ).stderr
    match = VERSION.search(said)
    if match is None or int(match[1]) not in versions:
        version = match[1] if match else said.strip().split("\n")[0]
        raise EngineError(f"{wanted}, and {program} is version {version}; {remedy}")
    return Path(program)
