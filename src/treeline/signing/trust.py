"""A folder of models and the file of trusted signers → whether its models may be opened."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from treeline.errors import SignatureUncheckedError, UntrustedArtifactError
from treeline.signing import RELEASE, STATEMENT_FILE, Statement, signers, verifying_function

SETTING = "API_TRUSTED_SIGNERS"
FOLDER = "model"  # in the repository, whose paths were signed


@dataclass(frozen=True)
class TrustedModels:
    """Admits the models that a trusted signer has signed in a release.

    `trusted` is the path of the file of signers, or what would stand in it. The file is read again
    each time, so that a key can be added, or taken away, while a service runs.
    """

    trusted: str

    @classmethod
    def of(cls, trusted: str) -> "TrustedModels | None":
        """Return what admits models, None where nobody has to sign them.

        Raises ConfigError for a file that does not hold, MissingExtraError without the libraries.
        """
        if not trusted:
            return None
        verifying_function(place=SETTING)
        signers.parse(signers.text_of(trusted), place=SETTING)
        return cls(trusted if signers.is_text(trusted) else str(Path(trusted).absolute()))

    def files(self, folder: Path) -> list[Path]:
        """Return the files by which a folder is judged: its statement, and that of the signers."""
        own = [] if signers.is_text(self.trusted) else [Path(self.trusted)]
        return [folder / STATEMENT_FILE, *own]

    def admit(self, folder: Path, digests: Mapping[str, str]) -> None:
        """Raise UntrustedArtifactError unless these files of a folder were signed as they are.

        `digests` are SHA-256 (64 hexadecimal digits) by path below the folder, in which the signed
        statement lies. Raises ConfigError where the signers cannot be read any more, and
        SignatureUncheckedError where the check cannot be made now.
        """
        path = folder / STATEMENT_FILE
        try:
            envelope = path.read_bytes()
        except OSError as error:
            raise UntrustedArtifactError(
                f"{path}: {error.strerror}, and {SETTING} wants the models signed; deploy a "
                "release that is signed (docs/signing.md)"
            ) from error
        text = signers.text_of(self.trusted)
        minute = datetime.now(UTC).replace(second=0, microsecond=0)
        statement = _verified(envelope, text, str(path), minute)
        if isinstance(statement, str):
            raise SignatureUncheckedError(statement)
        for name, digest in digests.items():
            statement.check(f"{FOLDER}/{name}", digest, place=str(path))


@lru_cache(maxsize=16)
def _verified(envelope: bytes, trusted: str, place: str, now: datetime) -> Statement | str:
    """Verify a statement once a minute for all the models in it; keyless, that asks a server.

    Returns why it cannot be checked now, so that a server that is away is not waited for again.
    """
    try:
        statement = verifying_function(place=SETTING)(envelope, trusted, place=place, now=now)
    except SignatureUncheckedError as error:
        return str(error)
    if statement.about != RELEASE:
        raise UntrustedArtifactError(f"{place}: is about {statement.about!r}, not about a release")
    return statement
