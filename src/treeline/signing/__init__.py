"""A release → a signed statement of the files in it; a signed statement → whom to trust for them.

The statement is one of in-toto: the SHA-256 of each file by its path in the repository, and the
entry of the release. The envelope around it is DSSE. Two libraries make and read both
(`treeline.signing.dsse`); they are imported where something is signed or verified, and nowhere
else, so that neither a training nor a service needs them that has nothing to do with signatures.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from treeline.errors import UntrustedArtifactError
from treeline.registry import resolve

STATEMENT_FILE = "release.dsse.json"  # beside the models of a release, and beside its entry
IMAGE_STATEMENT_FILE = "image.dsse.json"  # beside the record of a deployment
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
RELEASE, IMAGE = "urn:treeline:release:1", "urn:treeline:image:1"  # what a statement is about

FUNCTIONS = {
    "sign": "treeline.signing.dsse:sign",
    "verify": "treeline.signing.dsse:verify",
    "key_ids": "treeline.signing.dsse:key_ids",
}
EXTRA = "signing"


@dataclass(frozen=True)
class Statement:
    """What somebody vouches for: a SHA-256 (64 hexadecimal digits) for each name.

    The names of a release are paths in the repository; the one name of an image is its own, without
    a tag. `about` is RELEASE or IMAGE, and `content` is the entry of the release or deployment.
    `signer` is the name of whom it was verified for, empty before that.
    """

    about: str
    digests: Mapping[str, str]
    content: Mapping[str, Any]
    signer: str = field(default="", compare=False)

    def to_bytes(self) -> bytes:
        """Return the statement as in-toto has it."""
        document = {
            "_type": STATEMENT_TYPE,
            "subject": [
                {"name": name, "digest": {"sha256": digest}}
                for name, digest in sorted(self.digests.items())
            ],
            "predicateType": self.about,
            "predicate": dict(self.content),
        }
        return json.dumps(document, sort_keys=True).encode()

    @classmethod
    def parse(cls, payload: bytes, *, place: str) -> "Statement":
        """Read a statement that stands at `place`; raises UntrustedArtifactError."""
        try:
            document = json.loads(payload)
            if document["_type"] != STATEMENT_TYPE:
                raise ValueError(f"_type is {document['_type']!r}")
            digests = {each["name"]: each["digest"]["sha256"] for each in document["subject"]}
            return cls(document["predicateType"], digests, dict(document["predicate"]))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UntrustedArtifactError(
                f"{place}: what was signed is no statement of in-toto ({error!r}); publish again"
            ) from error

    def check(self, name: str, digest: str, *, place: str) -> None:
        """Raise UntrustedArtifactError unless this digest was vouched for under this name."""
        expected = self.digests.get(name)
        if expected is None:
            raise UntrustedArtifactError(
                f"{place}: nobody has signed {name}; deploy a release that holds it"
            )
        if digest != expected:
            raise UntrustedArtifactError(
                f"{place}: the SHA-256 of {name} begins {digest[:12]}, and signed was "
                f"{expected[:12]}: it was changed after it was released; fetch it anew"
            )


@dataclass(frozen=True)
class WorkflowIdentity:
    """Who a workflow is for sigstore: the file of the workflow at a ref, and who vouches for it."""

    identity: str
    issuer: str = "https://token.actions.githubusercontent.com"


class Sign(Protocol):
    """What signs a statement; see `treeline.signing.dsse.sign`."""

    def __call__(self, statement: Statement, *, key: str, workflow: WorkflowIdentity | None) -> str:
        """Return the envelope."""
        ...


class KeyIds(Protocol):
    """What says who would sign; see `treeline.signing.dsse.key_ids`."""

    def __call__(self, *, key: str, workflow: WorkflowIdentity | None) -> frozenset[str]:
        """Return the ids that an envelope would have."""
        ...


class Verify(Protocol):
    """What verifies an envelope; see `treeline.signing.dsse.verify`."""

    def __call__(
        self, envelope: bytes, trusted: str | Path, *, place: str, now: datetime
    ) -> Statement:
        """Return the statement; raises UntrustedArtifactError and SignatureUncheckedError."""
        ...


def signing_function() -> Sign:
    """Return what signs; raises MissingExtraError where its libraries are not installed."""
    function: Sign = resolve(FUNCTIONS, "sign", place="SIGNING", extra=EXTRA)
    return function


def key_ids_function() -> KeyIds:
    """Return what says who would sign; raises MissingExtraError where its libraries are absent."""
    function: KeyIds = resolve(FUNCTIONS, "key_ids", place="SIGNING", extra=EXTRA)
    return function


def verifying_function(*, place: str) -> Verify:
    """Return what verifies; raises MissingExtraError where its libraries are not installed.

    `place` is the setting that asks for it.
    """
    function: Verify = resolve(FUNCTIONS, "verify", place=place, extra=EXTRA)
    return function


def key_ids_in(envelope: str | None) -> frozenset[str]:
    """Return the ids of the keys that an envelope names; nothing of it is verified.

    There are none where nobody has signed.
    """
    with suppress(AttributeError, KeyError, TypeError, ValueError):
        return frozenset(str(each["keyid"]) for each in json.loads(envelope or "{}")["signatures"])
    return frozenset()
