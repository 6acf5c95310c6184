"""Models in a bucket: each file once, by its content, and one list of which file is whose.

<prefix>/models.json        the list, replaced in one step when all that it names is there
<prefix>/files/<sha256>     a file of a model: its signature, its graph

So a list never names what is not there, what two releases share is stored once, and whoever has a
file knows by its name whether the bytes are right.
"""

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from treeline.artifact.store import SIGNATURE_FILE
from treeline.contract.features import Closed
from treeline.contract.signature import Sha256
from treeline.contract.texts import Slug
from treeline.errors import ArtifactRejectedError

LIST = "models.json"
MOST_BYTES = 64 << 20  # of a list; a model takes some 400 bytes in it
FORMAT: Literal[1] = 1

# Below the folder of a model; nothing hidden, and no way out of it.
PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
FilePath = Annotated[str, Field(pattern=rf"^{PART}(?:/{PART})*$", max_length=200)]


class StoredFile(Closed):
    """One file, by its content."""

    sha256: Sha256
    size_bytes: Annotated[int, Field(ge=0)]

    @property
    def key(self) -> str:
        """Where it is in the bucket."""
        return f"files/{self.sha256}"


class ListedModel(Closed):
    """One model: its version, and its files by path below its folder."""

    version: str
    files: dict[FilePath, StoredFile]

    @model_validator(mode="after")
    def _has_a_signature(self) -> "ListedModel":
        if SIGNATURE_FILE not in self.files:
            raise ValueError(f"a model has a {SIGNATURE_FILE} among its files")
        return self

    @model_validator(mode="after")
    def _has_no_file_that_is_a_folder_too(self) -> "ListedModel":
        for path in self.files:
            for above in PurePosixPath(path).parents:
                if str(above) in self.files:
                    raise ValueError(f"{above} is a file, and {path} is below it")
        return self


class Listing(Closed):
    """The models that are to be served, by name, and the signed statement of their release."""

    format: Literal[1] = FORMAT
    models: dict[Slug, ListedModel] = {}
    statement: StoredFile | None = None

    @classmethod
    def parse(cls, document: bytes, *, place: str) -> "Listing":
        """Read a list; raises ArtifactRejectedError, naming `place`, for one that does not hold."""
        try:
            return cls.model_validate_json(document)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ArtifactRejectedError(
                f"{place}: is no list of models{f': {where}' if where else ''}: {first['msg']}; "
                "write it anew: treeline send"
            ) from error

    def to_bytes(self) -> bytes:
        """Return the list as it is stored."""
        return (self.model_dump_json(indent=1) + "\n").encode()

    def stored(self) -> list[StoredFile]:
        """Return all files that it names, each once."""
        files = {file for model in self.models.values() for file in model.files.values()}
        if self.statement is not None:
            files.add(self.statement)
        return sorted(files, key=lambda file: file.sha256)
