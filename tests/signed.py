"""Keys, and releases signed with them, as `publish` signs them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from treeline.contract.signature import Signature
from treeline.files import digest, write_text
from treeline.signing import RELEASE, STATEMENT_FILE, Statement, signing_function


@dataclass(frozen=True)
class KeyPair:
    """A private and a public key, as PEM."""

    private: str
    public: str


def key_pair() -> KeyPair:
    """Make a key, as `openssl genpkey -algorithm ed25519` does."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return KeyPair(private.decode(), public.decode())


def digests_of(models: Path) -> Mapping[str, str]:
    """Return what a release of the models in a folder vouches for."""
    digests = {}
    for path in models.glob("*/signature.json"):
        name = path.parent.name
        digests[f"model/{name}/signature.json"] = digest(path)
        for file, expected in Signature.read(path).files.items():
            digests[f"model/{name}/{file}"] = expected
    return digests


def sign_folder(models: Path, key: KeyPair) -> Path:
    """Sign the models in a folder as a release; return the file of the statement."""
    statement = Statement(RELEASE, digests_of(models), {"commit": "0" * 40})
    path = models / STATEMENT_FILE
    write_text(path, signing_function()(statement, key=key.private, workflow=None))
    return path
