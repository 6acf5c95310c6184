"""What is to run: the tag of an image in its registry, or the newest entry of a list → a release.

An entry of the list names the image by its digest, so that who can write to the registry alone
cannot change what runs. A tag leads wherever the registry says; `trusted_signers` set it limits.
"""

import platform
from typing import Protocol

from treeline.agent.distribution import ImageName, Manifest, RegistryClient
from treeline.agent.settings import AgentSettings
from treeline.agent.state import Release
from treeline.deployment.exchange import exchange
from treeline.errors import RegistryAwayError, ReleaseRefusedError

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
REVISION = "org.opencontainers.image.revision"
FAILED = "failed"


class Channel(Protocol):
    """Where it is said what is to run."""

    def wanted(self, present: Release | None) -> Release | None:
        """Return what is to run, None where nothing is; what is `present` is not looked at again.

        Raises RegistryAwayError where nobody answers, and ReleaseRefusedError.
        """
        ...


class TagChannel:
    """The image that a tag leads to."""

    def __init__(self, settings: AgentSettings) -> None:
        self._name = ImageName.parse(settings.image)
        self._client = RegistryClient(self._name, login_file=settings.login_file)

    def wanted(self, present: Release | None) -> Release | None:
        """Ask the registry where the tag leads, and the image what it was made from."""
        digest = self._client.digest_of(self._name.reference)
        return _described(self._client, self._name.at(digest), present)


class ListChannel:
    """The newest entry of the list of deployments, at an address that needs no login."""

    def __init__(self, settings: AgentSettings) -> None:
        self._url = settings.list_url
        self._name = ImageName.parse(settings.image)
        self._client = RegistryClient(self._name, login_file=settings.login_file)

    def wanted(self, present: Release | None) -> Release | None:
        """Read the entry; of one that failed elsewhere, what was in service there after it."""
        answer = exchange("GET", self._url)
        if answer.status != 200:
            raise RegistryAwayError(f"list_url: {answer.status or 'no answer'}: {answer.words}")
        named = answer.member("image")
        if answer.member("outcome") == FAILED and not (named := answer.member("serving")):
            return None
        image = ImageName.parse(str(named))
        if image.place != self._name.place or not image.reference.startswith("sha256:"):
            raise ReleaseRefusedError(
                f"list_url: names {named!r}, which is no digest of {self._name.place}"
            )
        return _described(self._client, self._name.at(image.reference), present)


def channel_of(settings: AgentSettings) -> Channel:
    """Return where the settings say it is said."""
    return ListChannel(settings) if settings.list_url else TagChannel(settings)


def _described(client: RegistryClient, image: str, present: Release | None) -> Release:
    """Return the release of an image that is named by its digest."""
    if present is not None and present.image == image:
        return present
    digest = image.rpartition("@")[2]
    config = client.config(image_manifest(client, digest))
    labels = config.get("config", {}).get("Labels") or {}
    return Release(
        image=image,
        commit=str(labels.get(REVISION, "")),
        made=str(config.get("created", "")),
    )


def image_manifest(client: RegistryClient, digest: str) -> Manifest:
    """Return the manifest of the image for this machine, of one image or of an index of several."""
    manifest = client.manifest(digest)
    if not manifest.is_index:
        return manifest
    machine = platform.machine()
    return client.manifest(manifest.for_platform(ARCHITECTURES.get(machine, machine)))
