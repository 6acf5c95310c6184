"""Keys, and releases signed with them, as `publish` signs them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from securesystemslib.signer import SigstoreSigner

from tests.serving import free_port
from treeline.contract.signature import Signature
from treeline.errors import SignatureUncheckedError
from treeline.files import digest, write_text
from treeline.signing import (
    RELEASE,
    STATEMENT_FILE,
    Statement,
    WorkflowIdentity,
    signing_function,
)

WORKFLOW = WorkflowIdentity("https://forge.example/train.yml@refs/heads/main")
KEYLESS = {"name": "training", "identity": WORKFLOW.identity}


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


def also_keyless(envelope: str) -> str:
    """Add a signature in the name of a workflow, which nobody can check without sigstore's root."""
    key = SigstoreSigner.import_(WORKFLOW.identity, WORKFLOW.issuer)[1]
    document = json.loads(envelope)
    document["signatures"].append({"keyid": key.keyid, "sig": "AAAA", "bundle": {}})
    return json.dumps(document)


def take_sigstore_away(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Have nobody answer for sigstore, and nothing of it kept here."""
    for name in ("HTTPS_PROXY", "https_proxy"):
        patch.setenv(name, f"http://127.0.0.1:{free_port()}")
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        patch.setenv(name, str(folder / name))


class AwayAtFirst:
    """Trusts everything, once what it asks answers."""

    def __init__(self) -> None:
        self.answers = False

    def admit(self, folder: Path, digests: Mapping[str, str]) -> None:
        """Admit it, or say that nothing can be said now."""
        if not self.answers:
            raise SignatureUncheckedError("its signature cannot be checked now")

    def files(self, folder: Path) -> list[Path]:
        """Name no file: nothing changes on disk when somebody answers again."""
        return []
