"""`runner.toml` → where jobs come from, what runs them, and what each of them may take."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError

from treeline.contract.features import Closed
from treeline.errors import ConfigError

Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]
LEAST_MEMORY = 64 << 20


class Limits(Closed):
    """What one job may take.

    After `seconds` its own first process ends it, `grace_seconds` later the runner does. `cpus` are
    processors; `processes` counts threads too. `disk_bytes` is what it may have in its
    folder, which is in memory and counts as such, and what it may write of a model besides.
    """

    seconds: Count = 3600
    grace_seconds: Positive = 15.0
    memory_bytes: Annotated[int, Field(ge=LEAST_MEMORY)] = 2 << 30
    cpus: Positive = 1.0
    processes: Count = 256
    disk_bytes: Count = 1 << 30
    model_bytes: Count = 256 << 20
    log_bytes: Count = 4 << 20


class RunnerSettings(Closed):
    """All that a runner is told.

    `spool` is the folder that the service writes jobs to (API_JOBS_DIR), `state_dir` one of the
    runner's own, which the service cannot reach. `image` is one with RUNTIME=train. `network` is
    the engine's network for jobs that ask for one; without it those are refused.
    """

    spool: Path
    image: str
    engine: Literal["docker", "podman"] = "docker"
    state_dir: Path = Path("/var/lib/treeline-runner")
    prefix: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")] = "treeline-job"
    network: str = ""
    at_once: Count = 1
    look_seconds: Positive = 1.0
    limits: Limits = Limits()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file; raises ConfigError naming the file, the key and what is wrong with it."""
        try:
            return cls.model_validate(tomllib.loads(path.read_text("utf-8")))
        except FileNotFoundError:
            raise ConfigError(f"{path}: no such file; docs/jobs.md shows one") from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read: {error}") from error
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()
            )
            raise ConfigError(f"{path}: {problems}") from error
