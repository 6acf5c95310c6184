"""A release → a virtual environment and a unit of systemd, on a machine without containers.

What is released is the same image with the same digest and signature. Of its layers only what is
ours is taken: the folder of the application, and the packages of this repository. The libraries
come from the package index, each held to the hash in the image's list of requirements.
"""

import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Self

from treeline.agent.channels import image_manifest
from treeline.agent.distribution import ImageName, RegistryClient
from treeline.agent.processes import attempt, run
from treeline.agent.service import ServiceSettings
from treeline.agent.settings import AgentSettings
from treeline.agent.state import Placement, Release, SlotName
from treeline.contract.signature import Signature
from treeline.deployment.acceptance import signatures_of
from treeline.errors import AgentError, DeploymentError, ReleaseRefusedError
from treeline.files import write_json, write_text

APPLICATION = PurePosixPath("app")
REQUIREMENTS = "requirements.txt"  # in the folder of the application
PACKAGES = ("api", "own", "treeline")  # of a folder `site-packages`
REMOVED = ".wh."  # before the name of what a later layer has removed
COMPLETE = "complete.json"  # written last
LATEST_SECONDS = (1 << 32) - 1  # a time of a file, as bytecode holds it
LAST_LINES = "20"


class EnvironmentHost:
    """Two units made of one template, `<prefix>-slot@blue` and `…@green`."""

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        self._releases = settings.state_dir / "releases"
        self._slots = settings.state_dir / "slots"

    @classmethod
    def from_settings(cls, settings: AgentSettings) -> Self:
        """Return the host of this machine."""
        return cls(settings)

    def fetch(self, release: Release) -> None:
        """Take our files out of the image, and install the libraries they ask for."""
        folder = self._folder(release.image)
        if (folder / COMPLETE).exists():
            return
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            folder.chmod(0o755)  # the service runs as another user
            self._unpack(release, folder)
            _install(folder)
            os.sync()  # else a power cut may leave the mark beside files that are empty
            write_json(folder / COMPLETE, {"image": release.image})
        except OSError as error:
            raise AgentError(f"{folder}: {error}") from error

    def start(self, placement: Placement) -> None:
        """Have the unit of a slot run a release."""
        folder = self._folder(placement.release.image)
        if not (folder / COMPLETE).exists():
            raise AgentError(f"{folder}: holds no whole release")
        if self.runs(placement):
            return
        lines = (
            f"RELEASE={folder}",
            f"DIGEST={placement.release.digest}",
            f"PORT={self._settings.port_of(placement.slot)}",
            self._mark(),
        )
        file, text = self._slot_file(placement.slot), "\n".join((*lines, ""))
        if self._lines(placement.slot) != list(lines):  # a full disk keeps no unit from starting
            try:
                write_text(file, text)
            except OSError as error:
                raise AgentError(f"{file}: cannot be written: {error}") from error
        run("systemctl", "restart", self._unit(placement.slot))

    def is_current(self, placement: Placement) -> bool:
        """Tell whether the unit was started with the settings of today."""
        return self._mark() in self._lines(placement.slot)

    def signatures(self, placement: Placement) -> Sequence[Signature]:
        """Read the signatures of a release."""
        try:
            return signatures_of(self._folder(placement.release.image) / APPLICATION)
        except DeploymentError:
            return ()

    def runs(self, placement: Placement) -> bool:
        """Tell whether the unit runs, and was started for this release."""
        if f"DIGEST={placement.release.digest}" not in self._lines(placement.slot):
            return False
        return self._property(placement.slot, "ActiveState") == "active"

    def restarts(self, slot: SlotName) -> int:
        """Return how often systemd has started the unit again."""
        return int(self._property(slot, "NRestarts") or 0)

    def last_words(self, slot: SlotName) -> str:
        """Return the last lines of the unit's journal."""
        words = ("--unit", self._unit(slot), "--lines", LAST_LINES, "--output", "cat", "--no-pager")
        return attempt("journalctl", *words).stdout.strip()

    def stop(self, slot: SlotName) -> None:
        """End the unit, its requests first."""
        run("systemctl", "stop", self._unit(slot))

    def clear(self, slot: SlotName) -> None:
        """End the unit, and forget what it ran."""
        self.stop(slot)
        attempt("systemctl", "reset-failed", self._unit(slot))
        try:
            self._slot_file(slot).unlink(missing_ok=True)
        except OSError as error:
            raise AgentError(f"{self._slot_file(slot)}: cannot be removed: {error}") from error

    def forget(self, image: str) -> bool:
        """Remove the folder of a release."""
        folder = self._folder(image)
        if not folder.exists():
            return False
        shutil.rmtree(folder, ignore_errors=True)
        return True

    def _unpack(self, release: Release, folder: Path) -> None:
        name = ImageName.parse(release.image)
        client = RegistryClient(name, login_file=self._settings.login_file)
        for layer in image_manifest(client, release.digest).document.get("layers", []):
            with tempfile.TemporaryFile(dir=self._releases) as file:
                client.download(str(layer["digest"]), file)
                file.seek(0)
                _unpack_layer(file, folder)

    def _folder(self, image: str) -> Path:
        return self._releases / image.rpartition(":")[2][:16]

    def _lines(self, slot: SlotName) -> list[str]:
        """Return what a unit was told to run; nothing where it was told nothing."""
        try:
            return self._slot_file(slot).read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise AgentError(f"{self._slot_file(slot)}: cannot be read: {error}") from error

    def _mark(self) -> str:
        return f"SETTINGS={ServiceSettings.of(self._settings).mark}"

    def _slot_file(self, slot: SlotName) -> Path:
        return self._slots / f"{slot}.env"

    def _unit(self, slot: SlotName) -> str:
        return f"{self._settings.prefix}-slot@{slot}.service"

    def _property(self, slot: SlotName, name: str) -> str:
        return run("systemctl", "show", "--property", name, "--value", self._unit(slot)).strip()


def _unpack_layer(file: BinaryIO, folder: Path) -> None:
    try:
        with tarfile.open(fileobj=file, encoding="utf-8") as archive:
            for member in archive:
                _take(archive, member, folder)
    except tarfile.TarError as error:
        raise ReleaseRefusedError(f"{folder}: a layer cannot be unpacked: {error}") from error


def _take(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Put a member of a layer where it belongs below a folder, if it is ours."""
    target = _place(PurePosixPath(member.name))
    if target is None:
        return
    if target.name.startswith(REMOVED):
        removed = folder / target.with_name(target.name.removeprefix(REMOVED))
        if removed.is_dir():
            shutil.rmtree(removed)
        else:
            removed.unlink(missing_ok=True)
        return
    content = archive.extractfile(member) if member.isfile() else None
    if content is not None:
        file = folder / target
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as copy:
            shutil.copyfileobj(content, copy)
        file.chmod(0o755 if member.mode & 0o100 else 0o644)
        seconds = min(max(int(member.mtime), 0), LATEST_SECONDS)
        os.utime(file, (seconds, seconds))  # by which Python knows the bytecode of a module


def _place(path: PurePosixPath) -> PurePosixPath | None:
    """Return where a file of the image goes: `app/…`, `packages/…`; None for all that is not ours.

    Only plain files are taken, by paths that stay in the folder: no link leads out of it either.
    The filters of tarfile are newer than the Python of Debian 12.
    """
    if path.is_absolute() or ".." in path.parts:
        return None
    if path.parts[:1] == APPLICATION.parts:
        return path
    if "site-packages" not in path.parts:
        return None
    inside = path.parts[path.parts.index("site-packages") + 1 :]
    if not inside or inside[0].removeprefix(REMOVED) not in PACKAGES:
        return None
    return PurePosixPath("packages", *inside)


def _install(folder: Path) -> None:
    """Make the virtual environment of a release, with the libraries that it asks for."""
    environment = folder / "venv"
    run(sys.executable, "-m", "venv", str(environment))
    requirements = folder / APPLICATION / REQUIREMENTS
    if not requirements.exists():
        raise ReleaseRefusedError(
            f"{folder}: the image holds no {APPLICATION / REQUIREMENTS}; build it anew, or use "
            "Docker or Podman"
        )
    python = str(environment / "bin" / "python")
    words = ("--no-deps", "--only-binary", ":all:", "--require-hashes", "--quiet")
    run(python, "-m", "pip", "install", *words, "--requirement", str(requirements))
