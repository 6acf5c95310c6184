"""`python -m api.models.bucket.cleaning`: remove from the bucket what no upload there names.

The graphs of uploads that were deleted or replaced stay in the bucket, as a replica may be fetching
them; so do the small objects that say what was deleted. This removes what has been so for a while.
It reads the settings of the service, touches nothing outside `uploads/`, and may run at any time,
beside any number of replicas: no upload that is being made is as old as what it removes.
"""

import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from api.models.bucket.records import (
    ANOTHER,
    CONDITIONS,
    FILES,
    MODELS,
    MOST_BYTES,
    UploadRecord,
    file_key,
)
from api.models.stored import check_settings
from api.settings import Settings
from treeline.buckets import Bucket, BucketEntry, bucket_at
from treeline.errors import ObjectAbsentError, ObjectChangedError, TreelineError

UNNAMED = timedelta(days=1)  # an upload takes minutes from its graph to its record
DELETED = timedelta(days=30)  # for which a replica may be switched off, and learn of it yet


def clean(bucket: Bucket, *, now: datetime) -> str:
    """Remove what no upload names, and say what was removed.

    Raises ArtifactRejectedError where a record cannot be read, as what it names is unknown then:
    nothing has been removed. Raises BucketError.
    """
    files = [file for file in bucket.entries(FILES) if now - file.written > UNNAMED]
    records = _records(bucket)
    named = {file_key(record.upload) for _, record in records if record.upload is not None}
    unnamed = [file for file in files if file.key not in named]
    removed = sum(_removed(bucket, file) for file in unnamed)
    said = [entry for entry, record in records if _is_over(record, now)]
    if said and not _heeds_conditions(bucket):
        left = f"; {len(said)} objects that say so stay: the store removes none under a condition"
        return f"{bucket}: {removed} graphs that no upload names were removed{left}"
    for entry in said:
        _remove_record(bucket, entry)
    return (
        f"{bucket}: {removed} graphs that no upload names were removed, and {len(said)} objects of "
        "models deleted long ago"
    )


def _records(bucket: Bucket) -> list[tuple[BucketEntry, UploadRecord]]:
    """Return all records; raises ArtifactRejectedError and BucketError."""
    records = []
    for entry in bucket.entries(MODELS):
        try:
            read = bucket.read(entry.key, most_bytes=MOST_BYTES)
        except ObjectAbsentError:
            continue
        if read is not None:
            place = f"{bucket}/{entry.key}"
            record = UploadRecord.parse(read.payload, key=entry.key, secret="", place=place)
            records.append((replace(entry, tag=read.tag), record))
    return records


def _removed(bucket: Bucket, file: BucketEntry) -> bool:
    """Remove a graph, unless somebody has uploaded it again meanwhile; tell whether it is gone."""
    if any(each.written != file.written for each in _now(bucket, file)):
        return False
    bucket.remove(file.key)
    return True


def _now(bucket: Bucket, file: BucketEntry) -> Iterable[BucketEntry]:
    return (each for each in bucket.entries(file.key) if each.key == file.key)


def _is_over(record: UploadRecord, now: datetime) -> bool:
    return record.upload is None and now - record.changed > DELETED


def _remove_record(bucket: Bucket, entry: BucketEntry) -> None:
    try:
        bucket.remove(entry.key, over=entry.tag)
    except ObjectChangedError:
        return  # the name has a model again


def _heeds_conditions(bucket: Bucket) -> bool:
    """Tell whether a store removes only the object that it is told of."""
    bucket.write(CONDITIONS, b"")
    try:
        bucket.remove(CONDITIONS, over=ANOTHER)
    except ObjectChangedError:
        return True
    return False


def main() -> int:
    """Clean the bucket of API_MODELS; return the exit status."""
    settings = Settings()
    try:
        check_settings(settings)
        print(clean(bucket_at(settings.models, place="API_MODELS"), now=datetime.now(UTC)))
    except TreelineError as error:
        print(f"python -m api.models.bucket.cleaning: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
