"""The rows of one batch → a draft beside the spool; recorded when the batch was answered."""

from api.prediction_log.rows import row_count
from api.prediction_log.spool import ROWS, Segment, Spool
from api.prediction_log.writing import Writer


class BatchDraft:
    """Takes frames of rows; after `commit` they are recorded, all of them.

    What cannot be written is counted as lost, and the batch goes on. One thread at a time.
    """

    def __init__(self, spool: Spool, writer: Writer) -> None:
        self._spool = spool
        self._writer = writer
        self._segment: Segment | None = None

    def add(self, frame: bytes) -> None:
        """Take the bytes of a RowsFrame."""
        if not self._writer.has_room(len(frame) + (self._segment.bytes if self._segment else 0)):
            self._writer.lose(row_count(frame), "the spool is full")
            return
        try:
            if self._segment is None:
                owner = self._writer.owner
                self._segment = Segment.draft(self._spool.folder, owner=owner, kind=ROWS)
            self._segment.append(frame)
        except OSError as error:
            self._writer.lose(row_count(frame), f"the spool cannot be written: {error}")

    def commit(self) -> None:
        """Leave the rows to the shipper."""
        if self._segment is not None:
            self._segment.publish()
            self.discard()

    def discard(self) -> None:
        """Forget what was not committed; harmless afterwards."""
        if self._segment is not None:
            self._segment.close()
            self._segment = None
