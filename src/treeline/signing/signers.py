"""A file of trusted signers → who they are: public keys, and workflows that sign without a key.

It is either PEM, one public key after the other, or JSON, where each signer has a name and may
expire::

    {"signers": [
      {"name": "laptop", "key": "-----BEGIN PUBLIC KEY-----…", "expires": "2027-06-30T00:00:00Z"},
      {"name": "training", "identity": "https://…/train.yml@refs/heads/main", "issuer": "https://…"}
    ]}
"""

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from treeline.errors import ConfigError
from treeline.signing import WorkflowIdentity

PUBLIC_KEYS = re.compile(r"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)


class Signer(BaseModel):
    """One signer: either a public key as PEM, or the identity of a workflow and its issuer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    key: str = ""
    identity: str = ""
    issuer: str = WorkflowIdentity.issuer
    expires: AwareDatetime | None = None

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Self:
        if bool(self.key) == bool(self.identity):
            raise ValueError("give either `key` or `identity`")
        return self

    def has_expired(self, now: datetime) -> bool:
        """Tell whether nothing is to be accepted from it any more."""
        return self.expires is not None and self.expires <= now


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    signers: Annotated[tuple[Signer, ...], Field(min_length=1)]


def is_text(trusted: str) -> bool:
    """Tell whether it is the signers themselves, not the path of their file."""
    return trusted.lstrip().startswith(("{", "-----BEGIN"))


def text_of(trusted: str | Path) -> str:
    """Return what stands in the file of signers, or the text itself; raises ConfigError."""
    if isinstance(trusted, str) and is_text(trusted):
        return trusted
    try:
        return Path(trusted).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{trusted}: the trusted signers cannot be read: {error}") from error


def parse(text: str, *, place: str) -> tuple[Signer, ...]:
    """Read the trusted signers that stand at `place`; raises ConfigError naming place and key."""
    if (keys := PUBLIC_KEYS.findall(text)) and not text.lstrip().startswith("{"):
        return tuple(Signer(name=f"key {n}", key=key) for n, key in enumerate(keys, start=1))
    try:
        return _Document.model_validate_json(text).signers
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "document"
        raise ConfigError(
            f"{place}: {key}: {first['msg']}; give public keys as PEM, or signers as JSON "
            "(docs/signing.md)"
        ) from error
