"""A release and whom this machine trusts → nothing, or the reason why it may not run.

Who deploys signs the digest of the image; the envelope lies beside the list of deployments. So
who can write to the registry alone, or to the list alone, changes nothing that runs here.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urljoin

from treeline.agent.distribution import ImageName, fetch_file
from treeline.agent.settings import AgentSettings
from treeline.agent.state import Release
from treeline.errors import (
    AgentError,
    MissingExtraError,
    RegistryAwayError,
    ReleaseRefusedError,
    SignatureUncheckedError,
    UntrustedArtifactError,
)
from treeline.signing import IMAGE, IMAGE_STATEMENT_FILE, Verify, verifying_function

Check = Callable[[Release], None]


def envelope_address(settings: AgentSettings) -> str:
    """Return where the signature of the newest image is: as set, or beside the list."""
    return settings.envelope_url or urljoin(settings.list_url, IMAGE_STATEMENT_FILE)


def check_of(settings: AgentSettings) -> Check:
    """Return what raises ReleaseRefusedError for a release that may not run here.

    It raises RegistryAwayError where the signature cannot be had, or checked, now, and AgentError
    where the libraries that verify are not installed: what is in service is looked after all the
    same.
    """
    signers = settings.trusted_signers
    if signers is None:
        return lambda release: None
    address = envelope_address(settings)

    def check(release: Release) -> None:
        verify = _verify()
        envelope = fetch_file(address)
        try:
            statement = verify(envelope, signers, place=address, now=datetime.now(UTC))
            if statement.about != IMAGE:
                raise UntrustedArtifactError(f"{address}: is no statement about an image")
            digest, place = release.digest.removeprefix("sha256:"), _place(release.image)
            for name in [each for each in statement.digests if _place(each) == place] or [place]:
                statement.check(name, digest, place=address)
        except SignatureUncheckedError as error:
            raise RegistryAwayError(str(error)) from error
        except UntrustedArtifactError as error:
            raise ReleaseRefusedError(f"{release.image} may not run here: {error}") from error

    return check


def _verify() -> Verify:
    try:
        return verifying_function(place="trusted_signers")
    except MissingExtraError as error:
        raise AgentError(str(error)) from error


def _place(name: str) -> str:
    """Return the name of an image in full, without tag and digest; empty where it is none.

    Docker Hub's is signed as it was written: with its registry or without.
    """
    try:
        return ImageName.parse(name).place
    except ReleaseRefusedError:
        return ""
