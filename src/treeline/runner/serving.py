"""`runner.toml` → a runner that works until it is stopped by a signal."""

import logging
import os
import signal
from pathlib import Path

from treeline.errors import ConfigError
from treeline.runner.engines import engine_of
from treeline.runner.running import Runner, prepare
from treeline.runner.settings import RunnerSettings

OPEN_TO_NOBODY = 0o077


def serve(config: Path) -> None:
    """Run jobs until SIGTERM or SIGINT; raises ConfigError, and AgentError without the image."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    os.umask(OPEN_TO_NOBODY)
    settings = RunnerSettings.read(config)
    spool = prepare(settings)
    engine = engine_of(settings)
    engine.image_id()
    with spool.locked("runner-lock", wait=False) as alone:
        if not alone:
            raise ConfigError(f"{settings.spool}: another runner is at it; raise its at_once")
        runner = Runner(settings, spool, engine)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: runner.stop())
        logging.info("jobs of %s run in %s", settings.spool, settings.image)
        runner.run()
