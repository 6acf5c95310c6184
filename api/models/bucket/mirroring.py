"""Looks at the uploads in a bucket: what they name is fetched, tried as any upload is, and served.

Nothing that happens to the store takes back what is served. One that is not as it is named, or
fails its trial here, leaves the former where it is, and the others as they are named now.
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from api.errors import StoreUnwritableError, UploadRejectedError, UploadsFullError
from api.models.bucket.files import Choice, FileFetcher
from api.models.bucket.folder import check_disk
from api.models.bucket.mirror import Mirror, Seen
from api.models.bucket.orders import StoredFolder
from api.models.bucket.records import (
    MODELS,
    MOST_BYTES,
    SUFFIX,
    UploadRecord,
    file_key,
    key_of,
)
from api.models.catalogue import Upload
from api.models.following import Away
from api.models.trials import Trials
from api.settings import Settings
from treeline.artifact.listing import StoredFile
from treeline.buckets import Bucket, BucketEntry
from treeline.errors import ArtifactRejectedError, BucketError, ObjectAbsentError

IN_A_ROW = 3  # objects that cannot be asked for: then the store is away, not one of them broken
FIRST_PAUSE_SECONDS = 60.0  # before a graph is tried again that was refused: it may have been busy
LONGEST_PAUSE_SECONDS = 3600.0
WAY_OUT = "upload the model again"

logger = logging.getLogger("api.models.bucket.follower")


@dataclass(frozen=True)
class _Refused:
    """An upload that failed its trial here: why, and when it is tried again."""

    upload: Upload
    reason: str
    due: float
    pause: float


@dataclass(frozen=True)
class _Problem:
    """Why an upload is not served as it is named.

    As long as its object has the tag, nothing else can come of it; empty: it is looked at again.
    """

    name: str
    reason: str
    tag: str = ""


class UploadMirrorer:
    """Keeps a mirror equal to the uploads of a bucket."""

    def __init__(
        self, folder: StoredFolder, mirror: Mirror, bucket: Bucket, settings: Settings
    ) -> None:
        self._folder, self._mirror, self._bucket = folder, mirror, bucket
        self._settings = settings
        self._choice = Choice.of(settings.models_named, settings.leave_out)
        self._secret = settings.uploads_secret.get_secret_value()
        self._fetcher = FileFetcher(bucket)
        self._refused: dict[str, _Refused] = {}
        self._problems: dict[str, _Problem] = {}
        words = "Uploads cannot be followed; all is served as it was"
        self._away = Away(folder, words, logger=logger)

    def poll(self) -> None:
        """Ask the store once, and bring what it names; raises OSError where the folder is gone."""
        try:
            self._poll()
        except (BucketError, StoreUnwritableError, OSError) as error:  # the store, or our disk
            self._away.say(str(error))

    def _poll(self) -> None:
        listed = {entry.key: entry for entry in self._bucket.entries(MODELS)}
        keys = {key for key in listed if key.endswith(SUFFIX)}
        away = 0
        for key in sorted({*keys, *self._mirror.keys(), *self._problems}):
            if self._is_settled(key, listed.get(key)):
                continue
            try:
                self.look_at(key)
                away = 0
            except BucketError as error:
                away += 1
                if away == IN_A_ROW:
                    raise
                self._problem(key, _Problem(Path(key).stem, str(error)))
        self._note()
        self._folder.answered()

    def _is_settled(self, key: str, entry: BucketEntry | None) -> bool:
        """Tell whether nothing is to be done for an object, as it is listed."""
        if entry is None:
            return False
        if entry.tag == self._mirror.seen(key).tag:
            self._problems.pop(key, None)
            return True
        if entry.size_bytes > MOST_BYTES:
            text = f"{self._bucket}/{key}: is longer than {MOST_BYTES} bytes; remove it"
            self._problem(key, _Problem(Path(key).stem, text, entry.tag))
        problem = self._problems.get(key)
        return problem is not None and problem.tag == entry.tag

    def bring(self, name: str) -> None:
        """Bring one model up to date with the store; raises BucketError and OSError."""
        self.look_at(key_of(name))
        self._note()

    def look_at(self, key: str) -> None:
        """Bring what one object names, which may have changed since it was listed.

        Raises BucketError, StoreUnwritableError and OSError.
        """
        seen = self._mirror.seen(key)
        try:
            read = self._bucket.read(key, most_bytes=MOST_BYTES)
        except ObjectAbsentError:
            self._mirror.take(key, "", None, after=seen)
            self._problems.pop(key, None)
            return
        if read is None or read.tag == seen.tag:
            return
        try:
            record = UploadRecord.parse(
                read.payload, key=key, secret=self._secret, place=f"{self._bucket}/{key}"
            )
        except ArtifactRejectedError as error:
            self._problem(key, _Problem(Path(key).stem, str(error), read.tag))
            return
        try:
            self._take(record, read.tag, seen)
            self._problems.pop(key, None)
        except (ArtifactRejectedError, ObjectAbsentError, UploadsFullError) as error:
            self._problem(key, _Problem(record.name, str(error)))

    def _problem(self, key: str, problem: _Problem) -> None:
        if self._problems.get(key) != problem:
            logger.warning(
                "%s, an upload, is not served as it is named: %s", problem.name, problem.reason
            )
        self._problems[key] = problem

    def _note(self) -> None:
        self._folder.note({each.name: each.reason for each in list(self._problems.values())})

    def _take(self, record: UploadRecord, tag: str, seen: Seen) -> None:
        """Hold what a record says; raises ArtifactRejectedError and UploadsFullError."""
        name, upload = record.name, record.upload
        if upload is None or not self._choice.admits(name):
            self._mirror.take(record.key, tag, None, after=seen)
        elif self._mirror.has(name, upload):
            self._mirror.take(record.key, tag, record, after=seen)
        else:
            with self._fetched(name, upload) as draft:
                self._mirror.take(record.key, tag, record, draft, after=seen)
                logger.info("%s, an upload of %s, is fetched", name, self._bucket)

    @contextmanager
    def _fetched(self, name: str, upload: Upload) -> Iterator[Path]:
        """Yield a graph that has passed its trial; raises ArtifactRejectedError."""
        refused = self._refused.get(name)
        if refused is not None and refused.upload == upload and time.monotonic() < refused.due:
            raise ArtifactRejectedError(refused.reason)
        self._check_room(name, upload)
        with self._folder.uploads.draft() as draft:
            file = StoredFile(sha256=upload.sha256, size_bytes=upload.size_bytes)
            self._fetcher.fetch(file_key(upload), file, draft, way_out=WAY_OUT)
            self._try(name, draft, upload)
            yield draft

    def _check_room(self, name: str, upload: Upload) -> None:
        """Raise UploadsFullError, ArtifactRejectedError or OSError for what has no room here."""
        most, names = self._settings.max_uploads, self._mirror.names()
        if name not in names and len(names) >= most:
            raise UploadsFullError(
                f"{len(names)} uploads are held here, and API_MAX_UPLOADS admits {most}; delete "
                "one, or raise it at all replicas"
            )
        if upload.size_bytes > self._settings.max_upload_bytes:
            raise ArtifactRejectedError(
                f"{name} has {upload.size_bytes} bytes, and API_MAX_UPLOAD_BYTES admits "
                f"{self._settings.max_upload_bytes} here; set the same at all replicas"
            )
        said = f"{name} has {upload.size_bytes} bytes"
        check_disk(self._folder.folder, upload.size_bytes, said)

    def _try(self, name: str, draft: Path, upload: Upload) -> None:
        """Audit and run a graph in a process of its own; raises ArtifactRejectedError.

        Whoever uploaded it had it tried too; but who may write to the bucket need not have.
        """
        former = self._refused.pop(name, None)
        try:
            asyncio.run(Trials(self._settings).run(name, draft, upload))
        except UploadRejectedError as error:
            pause = FIRST_PAUSE_SECONDS
            if former is not None and former.upload == upload:
                pause = min(2 * former.pause, LONGEST_PAUSE_SECONDS)
            reason = f"{name} is refused here: {error}"
            self._refused[name] = _Refused(upload, reason, time.monotonic() + pause, pause)
            raise ArtifactRejectedError(reason) from error
