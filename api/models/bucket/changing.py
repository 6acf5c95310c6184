"""Carries out what workers ask for: an upload is written to a bucket, described there, deleted.

The graph comes first, then, in one step, the record that names it, in the place of the record that
was read before: where another replica was faster, the store refuses it, and nothing has happened.
So a change is either whole or not there, whenever this process is killed.
"""

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from api.errors import (
    NameTakenError,
    NotRemovableError,
    StoreAwayError,
    StoreUnwritableError,
    UploadConflictError,
    UploadsFullError,
)
from api.models.bucket.files import Choice
from api.models.bucket.mirror import Mirror
from api.models.bucket.mirroring import UploadMirrorer
from api.models.bucket.orders import Answer, Order, StoredFolder
from api.models.bucket.records import (
    ANOTHER,
    CONDITIONS,
    MOST_BYTES,
    UploadRecord,
    file_key,
    key_of,
)
from api.models.catalogue import Upload, check_owner
from api.settings import Settings
from treeline.artifact.listing import LIST, Listing
from treeline.artifact.listing import MOST_BYTES as MOST_LIST_BYTES
from treeline.buckets import Bucket
from treeline.contract.texts import twin_of
from treeline.errors import (
    ArtifactNotFoundError,
    ArtifactRejectedError,
    BucketError,
    ObjectAbsentError,
    ObjectChangedError,
    TreelineError,
)

AT_ONCE = 4  # changes that are carried out at the same time
AGAIN_SECONDS = 5.0

logger = logging.getLogger("api.models.bucket.follower")


@dataclass(frozen=True)
class _Former:
    """The record that a change is to replace: its tag there, empty where there is none.

    `record` is None where there is none, or none that holds.
    """

    tag: str = ""
    record: UploadRecord | None = None

    @property
    def upload(self) -> Upload | None:
        """What is served now, if anything is."""
        return None if self.record is None else self.record.upload


class UploadChanger:
    """Takes orders from a folder, and answers them."""

    def __init__(
        self,
        folder: StoredFolder,
        mirror: Mirror,
        mirrorer: UploadMirrorer,
        bucket: Bucket,
        settings: Settings,
    ) -> None:
        self._folder, self._mirror, self._mirrorer = folder, mirror, mirrorer
        self._bucket, self._settings = bucket, settings
        self._choice = Choice.of(settings.models_named, settings.leave_out)
        self._secret = settings.uploads_secret.get_secret_value()
        self._threads = ThreadPoolExecutor(AT_ONCE)
        self._under_way: dict[str, Future[None]] = {}
        self._list_tag, self._listed = "", frozenset[str]()
        self._heeds_conditions = False

    def step(self) -> None:
        """Begin with what is asked for now; others go on meanwhile."""
        self._under_way = {each: task for each, task in self._under_way.items() if not task.done()}
        for order_id in self._folder.taken():  # by this follower, or one that was ended
            self._begin(order_id, interrupted=True)
        for order_id in self._folder.placed():
            if len(self._under_way) < AT_ONCE:
                self._begin(order_id, interrupted=False)

    def _begin(self, order_id: str, *, interrupted: bool) -> None:
        if order_id not in self._under_way:
            task = self._threads.submit(self._carry_out, order_id, interrupted)
            self._under_way[order_id] = task

    def _carry_out(self, order_id: str, interrupted: bool) -> None:
        order = self._folder.take(order_id)
        if order is None:
            return
        began = time.monotonic()
        try:
            replaced = self._settled(order) if interrupted else self._done(order)
            answer = Answer(replaced=replaced)
        except BucketError as error:
            answer = Answer.of(
                StoreAwayError(
                    f"The store of uploads takes no change now; try again later: {error}"
                )
            )
        except Exception as error:
            if not isinstance(error, TreelineError):
                logger.exception("%s of %s failed", order.action, order.name)
            answer = Answer.of(error)
        logger.info(
            "%s of %s in %s: %s after %.1f seconds",
            *(order.action, order.name, self._bucket, answer.error or "done"),
            time.monotonic() - began,
        )
        try:
            self._folder.end(order_id, answer)
        except OSError as error:  # our disk is full, say: then it is settled again in a while
            logger.error("%s of %s cannot be answered: %s", order.action, order.name, error)
            time.sleep(AGAIN_SECONDS)

    def _done(self, order: Order) -> bool:
        """Carry out an order, and tell whether it replaced a model; raises TreelineError."""
        name = order.name
        self._choice.check(name)
        if order.action == "bring":
            self._mirrorer.bring(name)
            return False
        self._check_conditions()
        if order.action == "publish" and order.upload is not None:
            return self._publish(order, order.upload)
        if order.action == "describe":
            return self._describe(order)
        return self._remove(order)

    def _settled(self, order: Order) -> bool:
        """Say of an order whose follower was ended whether it was carried out."""
        former = self._former(order.name)
        record = former.record
        if record is None or record.change != order.id:
            raise StoreAwayError(
                f"The change of {order.name!r} was interrupted before it was made; make it again."
            )
        self._hold(former.tag, record, order)
        return record.replaced

    def _publish(self, order: Order, upload: Upload) -> bool:
        name = order.name
        self._admit(name, upload, self._former(name))  # before much is sent
        self._bucket.upload(file_key(upload), self._folder.graph(order.id))
        former = self._former(name)
        self._admit(name, upload, former)
        return self._change(order, upload, former)

    def _admit(self, name: str, upload: Upload, former: _Former) -> None:
        """Refuse a name that is not this upload's to take.

        Raises NotRemovableError, NameTakenError and UploadsFullError.
        """
        listed = self._released()
        if name in listed:
            raise NotRemovableError(
                f"{name!r} is a model that was sent to {self._bucket}, and only treeline send "
                "changes those; upload under another name."
            )
        twin = twin_of(name, listed)
        if former.record is not None and former.upload is not None:
            twin = twin or twin_of(name, [former.record.name])
        if twin is not None:
            raise NameTakenError(
                f"There is a model {twin!r}, from which {name!r} differs in hyphens and "
                "underscores only; replace that one, or give another name."
            )
        if upload.job is not None:
            check_owner(name, former.upload, upload.job.owner, is_there=former.upload is not None)
        names, most = self._mirror.names(), self._settings.max_uploads
        if former.upload is None and len(names) >= most:
            raise UploadsFullError(
                f"{len(names)} models are uploaded, and API_MAX_UPLOADS admits {most}; "
                "delete one, or raise it."
            )

    def _describe(self, order: Order) -> bool:
        former = self._former(order.name)
        if former.upload is None or former.upload.sha256 != order.sha256:
            raise ArtifactNotFoundError(f"{order.name!r} was deleted or replaced meanwhile.")
        given = {name: getattr(order.said, name) for name in order.said.model_fields_set}
        return self._change(order, former.upload.model_copy(update=given), former)

    def _remove(self, order: Order) -> bool:
        former = self._former(order.name)
        if not former.tag:
            self._mirror.take(key_of(order.name), "", None)
        broken = former.tag and former.record is None
        if not broken and (
            former.record is None or former.upload is None or former.record.name != order.name
        ):
            raise ArtifactNotFoundError(f"There is no upload {order.name!r} any more.")
        return self._change(order, None, former)

    def _change(self, order: Order, upload: Upload | None, former: _Former) -> bool:
        """Put a record in the place of the former; tell whether there was a model.

        Raises UploadConflictError where the store has another record by now, and BucketError.
        """
        record = UploadRecord(
            name=order.name,
            change=order.id,
            changed=datetime.now(UTC),
            replaced=former.upload is not None,
            upload=upload,
        )
        tag = self._put(record, over=former.tag)
        self._hold(tag, record, order)
        return record.replaced

    def _put(self, record: UploadRecord, *, over: str) -> str:
        """Write a record over another, and return its tag.

        What goes wrong may do so after the store has taken it: so it is asked what it has.
        """
        try:
            return self._bucket.write(record.key, record.to_bytes(secret=self._secret), over=over)
        except BucketError as error:
            try:
                there = self._former(record.name)
            except BucketError:
                raise StoreAwayError(
                    f"The store of uploads does not answer any more, and whether {record.name!r} "
                    f"was changed is not known: ask for it when it does ({error})."
                ) from error
            if there.record is not None and there.record.change == record.change:
                return there.tag
            if isinstance(error, ObjectChangedError):
                raise UploadConflictError(
                    f"{record.name!r} was changed meanwhile, by another request or at another "
                    "replica, and that change counts; look at it, and make yours again if it "
                    "still should be."
                ) from error
            raise

    def _hold(self, tag: str, record: UploadRecord, order: Order) -> None:
        """Serve here what the store has now; raises StoreUnwritableError."""
        graph = self._folder.graph(order.id)
        draft = graph if graph.exists() else None
        upload = record.upload
        if upload is not None and draft is None and not self._mirror.has(record.name, upload):
            return  # the next look brings it
        try:
            self._mirror.take(record.key, tag, record, draft)
        except StoreUnwritableError as error:
            raise StoreUnwritableError(
                f"The store has taken the change of {record.name!r}, and the other replicas serve "
                f"it; this one cannot: {error}"
            ) from error

    def _former(self, name: str) -> _Former:
        """Return the record there is of a model; raises BucketError."""
        key = key_of(name)
        try:
            read = self._bucket.read(key, most_bytes=MOST_BYTES)
        except ObjectAbsentError:
            return _Former()
        if read is None:
            return _Former()
        try:
            record = UploadRecord.parse(
                read.payload, key=key, secret=self._secret, place=f"{self._bucket}/{key}"
            )
        except ArtifactRejectedError:  # a change mends it
            return _Former(read.tag)
        return _Former(read.tag, record)

    def _released(self) -> frozenset[str]:
        """Return the names of all models that were sent, whichever of them are fetched here."""
        try:
            read = self._bucket.read(LIST, most_bytes=MOST_LIST_BYTES, unless=self._list_tag)
        except ObjectAbsentError:
            return frozenset()
        if read is not None:
            try:
                listing = Listing.parse(read.payload, place=f"{self._bucket}/{LIST}")
            except ArtifactRejectedError as error:
                raise StoreAwayError(
                    f"Which names are taken cannot be found out: {error}"
                ) from error
            self._listed, self._list_tag = frozenset(listing.models), read.tag
        return self._listed

    def _check_conditions(self) -> None:
        """Raise StoreAwayError for a store that replaces objects whatever the writer has seen.

        There the second of two changes would undo the first, and nobody would know.
        """
        if self._heeds_conditions:
            return
        with suppress(ObjectChangedError):  # it is there
            self._bucket.write(CONDITIONS, b"", over="")
        for over in ("", ANOTHER):
            try:
                self._bucket.write(CONDITIONS, b"", over=over)
            except ObjectChangedError:
                continue
            raise StoreAwayError(
                f"{self._bucket} does not heed If-Match and If-None-Match when objects are "
                "written, so uploads could be lost there; use a store that does, or "
                "API_UPLOADS=folder."
            )
        self._heeds_conditions = True
