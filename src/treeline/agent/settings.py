"""`agent.toml` → what the agent follows, where it runs it, and how patient it is."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from treeline.agent.state import SLOTS, SlotName
from treeline.contract.features import Closed
from treeline.errors import ConfigError

Positive = Annotated[float, Field(gt=0)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Front(Closed):
    """The proxy that owns the port: where its one file is that changes, and how it reads it anew.

    `url` is where it answers on this machine; at `mark_port` of the loopback device it says which
    slot it leads to.
    """

    file: Path = Path("/var/lib/treeline-front/live.cfg")
    reload: tuple[str, ...] = ("systemctl", "reload-or-restart", "treeline-front.service")
    url: str = "http://127.0.0.1:8000"
    mark_port: Port = 18000
    reload_seconds: Positive = 30.0


class Patience(Closed):
    """How long the agent waits for what, in seconds.

    A release is on probation for `probation`: it is looked at every `look`, and goes when it fails
    `failures` times in a row. Only time in which it was looked at counts.
    """

    ready: Positive = 300.0
    probation: Positive = 600.0
    look: Positive = 10.0
    failures: Annotated[int, Field(ge=1)] = 3


class Keep(Closed):
    """What stays beside the release in service and the former: so many images, so many days."""

    images: Annotated[int, Field(ge=0)] = 2
    days: Positive = 60.0


class AgentSettings(Closed):
    """All that an agent is told.

    `image` is registry/owner/name:tag. With `list_url`, that address holds the newest entry of the
    list of deployments and says which digest of it is to run; otherwise the tag does.
    `trusted_signers` is a file of public keys: with it, nothing runs that none of them has signed,
    and the signature is at `envelope_url`, or beside the list. `ports` are those of the two slots,
    on the loopback device.
    """

    image: str
    list_url: str = ""
    envelope_url: str = ""
    trusted_signers: Path | None = None
    login_file: Path | None = None  # what `docker login` or `podman login` wrote
    key_file: Path | None = None  # holds a key of the service, where predictions take one
    host_header: str = ""  # a name of API_ALLOWED_HOSTS, where that is set
    host: Literal["docker", "podman", "environment"] = "docker"
    prefix: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")] = "treeline"
    state_dir: Path = Path("/var/lib/treeline-agent")
    ports: tuple[Port, Port] = (18001, 18002)
    environment_file: Path | None = None  # the settings of the service, one NAME=value a line
    options: tuple[str, ...] = ()  # further words of `docker run`, such as --memory=2g
    front: Front = Front()
    patience: Patience = Patience()
    keep: Keep = Keep()
    silent_days: Annotated[float, Field(ge=0)] = 45.0  # 0: never said
    webhook: str = ""
    name: str = ""  # of this machine, in reports; empty: its host name

    @model_validator(mode="after")
    def _signatures_can_be_had(self) -> Self:
        if self.trusted_signers is not None and not (self.envelope_url or self.list_url):
            raise ValueError("`trusted_signers` needs `list_url`, or `envelope_url`")
        return self

    def port_of(self, slot: SlotName) -> int:
        """Return the port at which a slot answers, on the loopback device."""
        return dict(zip(SLOTS, self.ports, strict=True))[slot]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file; raises ConfigError naming the file, the key and what is wrong with it."""
        try:
            return cls.model_validate(tomllib.loads(path.read_text("utf-8")))
        except FileNotFoundError:
            raise ConfigError(
                f"{path}: no such file; deploy/home/install.sh writes one, --config names another"
            ) from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read: {error}") from error
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()
            )
            raise ConfigError(f"{path}: {problems}") from error
