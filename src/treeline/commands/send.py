"""The models of a checkout → a bucket, from which services on other machines fetch them.

Files first, each once and by its content, then the list that names them, in one step: whoever reads
meanwhile has the former models, or these, whole.
"""

from pathlib import Path

from treeline.artifact.listing import LIST, MOST_BYTES, ListedModel, Listing, StoredFile
from treeline.artifact.store import SIGNATURE_FILE
from treeline.buckets import Bucket, bucket_at
from treeline.contract.signature import Signature
from treeline.deployment.acceptance import signatures_of
from treeline.errors import ArtifactRejectedError, ObjectAbsentError
from treeline.files import digest
from treeline.signing import STATEMENT_FILE

MODELS = "model"


def send(folder: Path, address: str) -> str:
    """Send the models below `folder` to the bucket at an address, and say what was new.

    Raises ConfigError for an address that is none, DeploymentError where the folder has no model,
    ArtifactRejectedError where a file is not the one that was signed, and BucketError.
    """
    bucket = bucket_at(address, place="--to")
    models = folder / MODELS
    paths: dict[StoredFile, Path] = {}
    listed = {}
    for signature in signatures_of(folder):
        files = files_of(models / signature.name, signature)
        paths |= {stored: models / signature.name / name for name, stored in files.items()}
        listed[signature.name] = ListedModel(version=signature.version, files=files)
    statement = stored_file(models / STATEMENT_FILE)
    if statement is not None:
        paths[statement] = models / STATEMENT_FILE
    listing = Listing(models=listed, statement=statement)
    fresh = [file for file in listing.stored() if bucket.size_bytes(file.key) != file.size_bytes]
    for file in fresh:
        bucket.upload(file.key, paths[file])
    if listing != _known(bucket):
        bucket.write(LIST, listing.to_bytes())
    signed = "" if statement is None else ", signed"
    return f"{bucket}: {len(listed)} models{signed}, {len(fresh)} of {len(paths)} files were new"


def files_of(folder: Path, signature: Signature) -> dict[str, StoredFile]:
    """Return the files of a model by path below its folder; raises ArtifactRejectedError."""
    files = {}
    for name in (SIGNATURE_FILE, *signature.files):
        stored = stored_file(folder / name)
        expected = signature.files.get(name)
        if stored is None or expected not in (None, stored.sha256):
            what = "missing" if stored is None else "not the file that its signature names"
            raise ArtifactRejectedError(
                f"{folder / name}: {what}; fetch it: make pull, or make it: make repro"
            )
        files[name] = stored
    return files


def stored_file(path: Path) -> StoredFile | None:
    """Return what tells a file from others, None where there is none."""
    if not path.is_file():
        return None
    return StoredFile(sha256=digest(path), size_bytes=path.stat().st_size)


def _known(bucket: Bucket) -> Listing | None:
    """Return the list that is in the bucket; None where there is none that can be read."""
    try:
        read = bucket.read(LIST, most_bytes=MOST_BYTES)
        return Listing.parse(read.payload, place=LIST) if read is not None else None
    except (ArtifactRejectedError, ObjectAbsentError):
        return None
