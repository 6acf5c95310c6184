"""Uploads in a bucket: each file once, by its content, and one small object for each model.

<prefix>/uploads/models/<name>.json     what is served under a name, or that it was deleted
<prefix>/uploads/files/<sha256>         a graph

All lies below `uploads/`, which `treeline send` never touches: so a service may be allowed to write
there and nowhere else. There is no list that all uploads share: two models that are uploaded at
once do not get in each other's way, and of two changes of one the store itself admits the first
and refuses the second, as each may only replace the object that its writer has seen. Names that
differ in hyphens and underscores only have the same object, so that they cannot both be taken.

What is deleted has an object that says so, in the place of the one before it: to remove one under
a condition is something that many stores cannot do.
"""

import hmac
import json
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError

from api.models.catalogue import Upload
from treeline.contract.features import Closed
from treeline.contract.texts import Slug
from treeline.errors import ArtifactRejectedError

MODELS = "uploads/models/"
FILES = "uploads/files/"
CONDITIONS = "uploads/conditions"  # an object by which a store shows that it heeds conditions
ANOTHER = "0" * 32  # a tag that no object has
MOST_BYTES = 1 << 20  # of one record
SUFFIX = ".json"
FORMAT: Literal[1] = 1

Change = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


class UploadRecord(Closed):
    """The object of one model: what its last change has made of it.

    `change` is another one in each, so that who wrote it knows it again, and no two are alike.
    `seal` vouches for the others where a secret is set that only the services know.
    """

    format: Literal[1] = FORMAT
    name: Slug
    change: Change
    changed: datetime
    replaced: bool = Field(description="Whether there was a model before this change")
    upload: Upload | None = Field(description="null: it is deleted")
    seal: str = ""

    @property
    def key(self) -> str:
        """Where it is in the bucket."""
        return key_of(self.name)

    @classmethod
    def parse(cls, document: bytes, *, key: str, secret: str, place: str) -> Self:
        """Read the object with that key; raises ArtifactRejectedError, naming `place`."""
        try:
            record = cls.model_validate_json(document)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ArtifactRejectedError(
                f"{place}: is no record of an upload{f': {where}' if where else ''}: "
                f"{first['msg']}; upload the model again, or remove the object"
            ) from error
        if record.key != key:
            raise ArtifactRejectedError(
                f"{place}: is the record of {record.name!r}; upload the model again, or remove "
                "the object"
            )
        if secret and not hmac.compare_digest(record.seal, sealing(document, secret)):
            raise ArtifactRejectedError(
                f"{place}: was not written by a service that has the secret of "
                "API_UPLOADS_SECRET; give all the same one, and upload the model again"
            )
        return record

    def to_bytes(self, *, secret: str) -> bytes:
        """Return the record as it is stored, sealed where there is a secret."""
        said = self.model_dump(mode="json")
        if secret:
            said["seal"] = sealing(json.dumps(said).encode(), secret)
        return (json.dumps(said, indent=1) + "\n").encode()


def sealing(document: bytes, secret: str) -> str:
    """Return the seal of a record: an HMAC with SHA-256 over all its other keys."""
    said = {name: value for name, value in json.loads(document).items() if name != "seal"}
    plain = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hmac.new(secret.encode(), plain.encode(), "sha256").hexdigest()


def key_of(name: str) -> str:
    """Return where the record of a model is; names that are twins have the same."""
    return f"{MODELS}{name.replace('_', '-')}{SUFFIX}"


def file_key(upload: Upload) -> str:
    """Return where the graph of a model is."""
    return FILES + upload.sha256
