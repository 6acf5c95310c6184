"""A release → a container of Docker or Podman, which take the same words.

The container gets the two folders it may write, and no socket of the engine's. What an engine says
is read as exit code or as JSON.
"""

import json
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Self

from treeline.agent.processes import attempt, run
from treeline.agent.service import ServiceSettings
from treeline.agent.settings import AgentSettings
from treeline.agent.state import Placement, Release, SlotName
from treeline.contract.signature import Signature
from treeline.errors import AgentError

PORT = 8000  # inside the container
MODELS = "/app/model"
SIGNATURE_FILE = "signature.json"
STOP_SECONDS = 40  # the service gives its requests twenty
LAST_LINES = "20"
LABEL = "treeline.release"  # the digest that a container was made from
SETTINGS_LABEL = "treeline.settings"  # the mark of the settings that it was made with
RESTRICTIONS = (
    "--read-only",
    *("--tmpfs", "/tmp"),
    *("--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges"),
    *("--restart", "unless-stopped"),
)


class ContainerHost:
    """An engine on this machine, reached by its command."""

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings

    @classmethod
    def from_settings(cls, settings: AgentSettings) -> Self:
        """Return the engine that `host` names."""
        return cls(settings)

    def fetch(self, release: Release) -> None:
        """Pull an image by its digest: the engine holds every layer to it.

        One that is here is not asked for: Podman, unlike Docker, asks the registry nevertheless.
        """
        if attempt(self._settings.host, "image", "inspect", release.image).returncode:
            self._run("pull", "--quiet", release.image)

    def start(self, placement: Placement) -> None:
        """Run an image in the container of a slot, at the slot's port of the loopback device.

        A container that is there has the settings that it was made with, until its slot is cleared.
        """
        name = self._name(placement.slot)
        container = self._inspect(name)
        if container is not None and not _made_from(container, placement):
            self.clear(placement.slot)
            container = None
        if container is None:
            self._create(name, placement)
        self._run("start", name)

    def is_current(self, placement: Placement) -> bool:
        """Tell whether the container was made with the settings of today."""
        container = self._inspect(self._name(placement.slot))
        mark = ServiceSettings.of(self._settings).mark
        return container is not None and _label(container, SETTINGS_LABEL) == mark

    def signatures(self, placement: Placement) -> Sequence[Signature]:
        """Read the signatures out of the container's image, running nothing of it."""
        name = self._name(placement.slot)
        command = (self._settings.host, "cp", f"{name}:{MODELS}", "-")
        try:
            texts = _signature_files(command)
        except (OSError, tarfile.TarError) as error:
            raise AgentError(f"`{' '.join(command)}` gave no archive: {error}") from error
        return [Signature.parse(texts[name], place=name) for name in sorted(texts)]

    def runs(self, placement: Placement) -> bool:
        """Tell whether the container runs."""
        container = self._inspect(self._name(placement.slot))
        return container is not None and _made_from(container, placement) and _is_running(container)

    def restarts(self, slot: SlotName) -> int:
        """Return how often the engine has started the container again."""
        container = self._inspect(self._name(slot))
        return 0 if container is None else int(container["RestartCount"])

    def last_words(self, slot: SlotName) -> str:
        """Return the last lines of the container's log."""
        done = attempt(self._settings.host, "logs", "--tail", LAST_LINES, self._name(slot))
        return (done.stdout + done.stderr).strip()

    def stop(self, slot: SlotName) -> None:
        """End the container, and keep it."""
        if self._inspect(self._name(slot)) is not None:
            self._run("stop", "-t", str(STOP_SECONDS), self._name(slot))

    def clear(self, slot: SlotName) -> None:
        """End the container and remove it; the volume that has a name stays."""
        self.stop(slot)
        if self._inspect(self._name(slot)) is not None:
            self._run("rm", "--force", "--volumes", self._name(slot))

    def forget(self, image: str) -> bool:
        """Remove an image by its digest."""
        if attempt(self._settings.host, "image", "inspect", image).returncode:
            return False
        return attempt(self._settings.host, "image", "rm", image).returncode == 0

    def _create(self, name: str, placement: Placement) -> None:
        network, volume = self._settings.prefix, self._settings.prefix
        if attempt(self._settings.host, "network", "inspect", network).returncode:
            self._run("network", "create", network)
        words = [
            *("--name", name, "--label", f"{LABEL}={placement.release.digest}"),
            *("--label", f"{SETTINGS_LABEL}={ServiceSettings.of(self._settings).mark}"),
            *("--network", network, "--volume", f"{volume}:/var/lib/treeline"),
            *("--publish", f"127.0.0.1:{self._settings.port_of(placement.slot)}:{PORT}"),
            *("--env", f"FORWARDED_ALLOW_IPS={self._gateway(network)}"),
        ]
        if self._settings.environment_file is not None:
            words += ["--env-file", str(self._settings.environment_file)]
        words += ["--env", f"PORT={PORT}", *RESTRICTIONS, *self._settings.options]
        self._run("create", *words, placement.release.image)

    def _gateway(self, network: str) -> str:
        """Return the address as which the front is seen from inside: the network's own."""
        details = json.loads(self._run("network", "inspect", network))[0]
        nets = details.get("subnets") or details.get("IPAM", {}).get("Config") or []
        addresses = [each.get("gateway") or each.get("Gateway") for each in nets]
        return ",".join(address for address in addresses if address)

    def _name(self, slot: SlotName) -> str:
        return f"{self._settings.prefix}-{slot}"

    def _inspect(self, name: str) -> dict[str, Any] | None:
        done = attempt(self._settings.host, "container", "inspect", name)
        if done.returncode:
            # The same code where there is none and where no engine answers.
            self._run("version", "--format", "json")
            return None
        return dict(json.loads(done.stdout)[0])

    def _run(self, *words: str) -> str:
        return run(self._settings.host, *words)


def _label(container: Mapping[str, Any], label: str) -> str:
    return str((container["Config"]["Labels"] or {}).get(label, ""))


def _made_from(container: Mapping[str, Any], placement: Placement) -> bool:
    return _label(container, LABEL) == placement.release.digest


def _is_running(container: Mapping[str, Any]) -> bool:
    return bool(container["State"]["Running"])


def _signature_files(command: Sequence[str]) -> dict[str, bytes]:
    """Return the signatures in the archive that a command prints, by their paths in it."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as copy:
        try:
            with tarfile.open(fileobj=copy.stdout, mode="r|") as archive:
                return {
                    member.name: file.read()
                    for member in archive
                    if PurePosixPath(member.name).name == SIGNATURE_FILE
                    and (file := archive.extractfile(member)) is not None
                }
        finally:
            copy.kill()
