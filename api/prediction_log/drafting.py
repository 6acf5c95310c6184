"""The rows of one batch → the spool, once the batch was answered; until then they are a draft.

A small batch stays in memory, and shares a segment with others: a segment for each would bury the
shipper. What is larger goes to a file of its own meanwhile.
"""

from api.prediction_log.rows import row_count
from api.prediction_log.spool import ROWS, Segment, Spool
from api.prediction_log.writing import SEGMENT_BYTES, Writer

MOST_IN_MEMORY = 64 << 10  # bytes of one batch; a thousand may be under way


class BatchDraft:
    """Takes frames of rows; after `commit` they are recorded, all of them.

    What cannot be written is counted as lost, and the batch goes on. One thread at a time.
    """

    def __init__(self, spool: Spool, writer: Writer) -> None:
        self._spool = spool
        self._writer = writer
        self._frames: list[bytes] = []
        self._segment: Segment | None = None
        self._bytes = 0
        self._rows = 0

    def add(self, frame: bytes) -> None:
        """Take the bytes of a RowsFrame."""
        rows = row_count(frame)
        if not self._writer.has_room(len(frame) + self._bytes):
            self._writer.lose(rows, "the spool is full")
            return
        try:
            if self._segment is not None:
                self._segment.append(frame)
            else:
                self._frames.append(frame)
                if self._bytes + len(frame) > MOST_IN_MEMORY:
                    self._to_disk()
        except OSError as error:
            self._writer.lose(rows, f"the spool cannot be written: {error}")
            return
        self._bytes += len(frame)
        self._rows += rows

    def commit(self) -> None:
        """Leave the rows to the shipper: they are in the spool before this returns."""
        try:
            if self._segment is not None and self._segment.bytes >= SEGMENT_BYTES:
                self._segment.publish()
                self._writer.take_room(self._segment.bytes)
            elif payload := self._payload():
                self._writer.write(payload, kind=ROWS)
        except OSError as error:
            self._writer.lose(self._rows, f"the spool cannot be written: {error}")
        self.discard()

    def discard(self) -> None:
        """Forget what was not committed; harmless afterwards."""
        self._frames.clear()
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _payload(self) -> bytes:
        return self._segment.content() if self._segment is not None else b"".join(self._frames)

    def _to_disk(self) -> None:
        """Go on in a file; raises OSError, without the last frame."""
        segment = Segment.draft(self._spool.folder, owner=self._writer.owner, kind=ROWS)
        try:
            segment.append(b"".join(self._frames))
        except OSError:
            segment.close()
            del self._frames[-1]
            raise
        self._segment = segment
        self._frames.clear()
