"""Which master of Spark this machine uses, whether it listens, and the settings of a session.

A master belongs to the machine and not to a model, so it is no key of a declaration. What else a
cluster needs to know (memory, keys of an object store) stands in Spark's own files and
environment variables: `spark-defaults.conf`, SPARK_DRIVER_MEMORY.
"""

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from treeline.errors import EngineError

MASTER = "SPARK_MASTER"
LOCAL = "local[*]"
SECONDS_TO_REACH = 10
REMEDY = "correct the address, or unset the variable to use this machine"

# A session that is being made tells of its native libraries, host names and log levels; this file
# silences it from its first line, which `spark.log.level` does not, and leaves out stacks. Unless
# the gateway has a level of its own, Spark sets that of everything to WARN.
QUIET = """\
rootLogger.level = error
rootLogger.appenderRef.stderr.ref = stderr
logger.gateway.name = org.apache.spark.api.python.PythonGatewayServer
logger.gateway.level = error
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = spark: %p %c{1}: %m%n%ex{none}
"""


def master() -> str:
    """Return the address in SPARK_MASTER, or else the cores of this machine."""
    return os.environ.get(MASTER) or LOCAL


def is_local(address: str) -> bool:
    """Say whether a master is threads of the driver's own JVM."""
    return address.partition("[")[0] == "local"


def is_standalone(address: str) -> bool:
    """Say whether a master is that of a standalone cluster."""
    return address.startswith("spark://")


def reach(address: str) -> None:
    """Raise EngineError unless one of a standalone cluster's masters listens."""
    if not is_standalone(address):
        return
    refused = []
    for one in address.removeprefix("spark://").split(","):
        host, _, port = one.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=SECONDS_TO_REACH).close()
            return
        except (OSError, ValueError) as error:
            refused.append(f"{one} ({error})")
    raise EngineError(
        f"{MASTER}={address}: no master could be reached: {', '.join(refused)}; start it, {REMEDY}"
    )


def settings(address: str, folder: Path) -> dict[str, str]:
    """Return what a session is started with; `folder` holds the file that says how it logs."""
    log = folder / "log4j2.properties"
    log.write_text(QUIET, encoding="utf-8")
    settings = {
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={log.as_uri()}",
        "spark.sql.execution.arrow.localRelationThreshold": "0",  # rows as objects fill the driver
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.session.timeZone": "UTC",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    if is_local(address) or urlsplit(address).hostname in ("127.0.0.1", "localhost"):
        settings |= {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    return settings
