"""`runner.toml` → where jobs come from, what runs them, and what each of them may take."""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from treeline.contract.features import Closed
from treeline.errors import ConfigError

Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]
LEAST_MEMORY = 64 << 20
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
BY_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
DNS_LABEL = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
MOST_PREFIX = 20  # of a name with 63 characters, beside an id


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


class KubernetesSettings(Closed):
    """Which cluster is asked, and what its pods need beside their limits.

    Without `server` it is the one that the runner itself runs in. A job that has not begun
    `start_seconds` after it was made ends so; a model waits `keep_seconds` for a runner that is
    away. `wheelhouse_claim` is a volume of wheels in the namespace. `must_not_reach`, as
    `10.96.0.10:53`, is an address that a job without a network must not reach before it begins.
    """

    namespace: Annotated[str, Field(pattern=DNS_LABEL, max_length=63)] = "treeline-jobs"
    server: Annotated[str, Field(pattern=r"^(https://\S+)?$")] = ""
    token_file: Path = ACCOUNT / "token"
    ca_file: Path = ACCOUNT / "ca.crt"
    start_seconds: Count = 600
    keep_seconds: Count = 3600
    wheelhouse_claim: str = ""
    pull_secret: str = ""
    runtime_class: str = ""
    node_selector: dict[str, str] = {}
    must_not_reach: Annotated[str, Field(pattern=r"^(\S+:\d+)?$")] = ""


class RunnerSettings(Closed):
    """All that a runner is told.

    `spool` is the folder that the service writes jobs to (API_JOBS_DIR), `state_dir` one of the
    runner's own, which the service cannot reach. `image` is one with RUNTIME=train. `network` is
    the engine's network for jobs that ask for one; without it those are refused. `wheelhouse` is a
    folder of wheels, from which requirements are installed that the image does not have.
    """

    spool: Path
    image: str
    engine: Literal["docker", "podman", "kubernetes"] = "docker"
    state_dir: Path = Path("/var/lib/treeline-runner")
    prefix: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")] = "treeline-job"
    network: str = ""
    wheelhouse: Path | None = None
    at_once: Count = 1
    look_seconds: Positive = 1.0
    limits: Limits = Limits()
    kubernetes: KubernetesSettings = KubernetesSettings()

    @model_validator(mode="after")
    def _fits_its_engine(self) -> Self:
        if self.engine != "kubernetes":
            return self
        if not BY_DIGEST.search(self.image):
            raise ValueError(
                f"image: {self.image!r} is resolved by each node anew; name it by its digest, as "
                "registry/name@sha256:…"
            )
        if self.wheelhouse is not None:
            raise ValueError(
                "wheelhouse: a folder of this machine is not on the nodes; name a volume of wheels "
                "by wheelhouse_claim in [kubernetes]"
            )
        if len(self.prefix) > MOST_PREFIX:
            raise ValueError(f"prefix: a name in a cluster leaves it {MOST_PREFIX} characters")
        if self.network and not LABEL_VALUE.fullmatch(self.network):
            raise ValueError(f"network: {self.network!r} is no value of a label, such as internet")
        return self

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
                ": ".join(filter(None, (".".join(map(str, each["loc"])), each["msg"])))
                for each in error.errors()
            )
            raise ConfigError(f"{path}: {problems}") from error
