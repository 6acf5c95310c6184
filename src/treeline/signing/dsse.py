"""Statements → envelopes of DSSE and back, by securesystemslib; keyless by sigstore underneath.

The one module that imports either; it is reached by name (`treeline.signing`).
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import Error as SigningLibraryError
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, Key, SigstoreSigner, SSlibKey
from securesystemslib.signer import Signer as LibrarySigner
from sigstore.errors import MetadataError, NetworkError, RootError, TUFError

from treeline.errors import (
    ConfigError,
    SignatureUncheckedError,
    SigningError,
    UntrustedArtifactError,
)
from treeline.signing import PAYLOAD_TYPE, Statement, WorkflowIdentity, signers
from treeline.signing.signers import Signer

MALFORMED = (AttributeError, KeyError, TypeError, ValueError, SigningLibraryError)
# Why sigstore's root cannot be had: its server is away, or the disk that it is kept on is full.
CIRCUMSTANCES = (TUFError, NetworkError, RootError, MetadataError, OSError)


def sign(statement: Statement, *, key: str, workflow: WorkflowIdentity | None) -> str:
    """Return the envelope of a statement as JSON, signed by each of the ways that are given.

    `key` is a private key as PEM without a passphrase (Ed25519, ECDSA on P-256, RSA), empty for
    none. `workflow` is who this run is, where it signs keyless: the token of the run is exchanged
    for a certificate of some minutes, and the signature is entered into sigstore's public log.
    Raises SigningError.
    """
    envelope = Envelope(statement.to_bytes(), PAYLOAD_TYPE, {})
    for signer in _library_signers(key, workflow):
        try:
            envelope.sign(signer)
        except Exception as error:  # of sigstore: its servers, its certificate, its log
            raise SigningError(
                f"the release cannot be signed keyless: {type(error).__name__}: {error}; run it "
                "again, or sign with a key (the secret SIGNING_KEY)"
            ) from error
    return json.dumps(envelope.to_dict(), indent=2) + "\n"


def verify(envelope: bytes, trusted: str | Path, *, place: str, now: datetime) -> Statement:
    """Return the statement in an envelope at `place`, if one of the trusted signers has signed it.

    `trusted` is the path of their file, or what stands in it. Raises ConfigError where that cannot
    be read, UntrustedArtifactError, and SignatureUncheckedError where it may be by one of them, and
    what is needed to tell cannot be had now.
    """
    known = signers.parse(signers.text_of(trusted), place="trusted signers")
    try:
        read = Envelope.from_dict(json.loads(envelope))
    except MALFORMED as error:
        raise UntrustedArtifactError(
            f"{place}: is no signed statement ({type(error).__name__}); publish the release again"
        ) from error
    refusals, unchecked = [], []
    for signer in known:
        key = _public_key(signer)
        if key.keyid not in read.signatures:
            continue
        if signer.has_expired(now):
            refusals.append(f"{signer.name} has expired on {signer.expires:%Y-%m-%d}")
            continue
        try:
            reason = _refusal(read, key)
        except SignatureUncheckedError as error:
            unchecked.append(f"{signer.name}: {error}")
            continue
        if not reason:
            return replace(Statement.parse(read.payload, place=place), signer=signer.name)
        refusals.append(f"{signer.name}: {reason}")
    if unchecked:
        raise SignatureUncheckedError(
            f"{place}: {'; '.join(unchecked)}; it is tried again; a key (docs/signing.md) needs no "
            "server"
        )
    reason = "; ".join(refusals) or "none of the trusted signers has signed it"
    raise UntrustedArtifactError(
        f"{place}: {reason}; deploy a release that one of them has signed, or trust who signed it"
    )


def key_ids(*, key: str, workflow: WorkflowIdentity | None) -> frozenset[str]:
    """Return the ids by which an envelope would name who signs so; raises SigningError.

    `key` and `workflow` are as of `sign`. Nobody is asked for anything.
    """
    signers: list[Key] = [_key_signer(key).public_key] if key else []
    if workflow:
        signers.append(SigstoreSigner.import_(workflow.identity, workflow.issuer)[1])
    return frozenset(signer.keyid for signer in signers)


def _key_signer(key: str) -> CryptoSigner:
    try:
        return CryptoSigner(load_pem_private_key(key.encode(), password=None))
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:  # its words quote no key
        raise SigningError(
            "SIGNING_KEY: is no private key that can sign; make one with: "
            "openssl genpkey -algorithm ed25519"
        ) from error


def _library_signers(key: str, workflow: WorkflowIdentity | None) -> Iterator[LibrarySigner]:
    if key:
        yield _key_signer(key)
    if workflow:
        uri, public = SigstoreSigner.import_(workflow.identity, workflow.issuer)
        try:
            yield SigstoreSigner.from_priv_key_uri(uri, public)
        except Exception as error:  # no token, a token of somebody else, no answer
            raise SigningError(
                f"SIGNING=keyless: this run cannot say who it is ({error}); it needs the "
                "permission `id-token: write` in GitHub Actions"
            ) from error


def _public_key(signer: Signer) -> Key:
    if signer.identity:
        return SigstoreSigner.import_(signer.identity, signer.issuer)[1]
    try:
        return SSlibKey.from_crypto(load_pem_public_key(signer.key.encode()))
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"trusted signers: {signer.name}: is no public key that can be used; write it with: "
            "openssl pkey -pubout"
        ) from error


def _refusal(envelope: Envelope, key: Key) -> str:
    """Return why the signature of a key does not hold; empty where it does.

    Raises SignatureUncheckedError. `Envelope.verify` takes both errors of the library for the same.
    """
    try:
        key.verify_signature(envelope.signatures[key.keyid], envelope.pae())
    except VerificationError as error:
        if isinstance(cause := error.__cause__, CIRCUMSTANCES):
            raise SignatureUncheckedError(
                "its signature cannot be checked now, as sigstore's root cannot be had "
                f"({type(cause).__name__}: {cause})"
            ) from error
        return f"its signature does not hold ({error})"
    except MALFORMED as error:
        return f"its signature does not hold ({error})"
    if envelope.payload_type != PAYLOAD_TYPE:
        return f"it has signed something else, {envelope.payload_type!r}"
    return ""
