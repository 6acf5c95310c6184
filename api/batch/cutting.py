"""The pieces of a body, as they arrive → chunks of whole lines."""

from collections.abc import Iterator

from api.errors import MalformedBodyError

QUOTE, NEWLINE = b'"', b"\n"


class Cutter:
    """Cuts a text where a row ends; in CSV a newline between quotes ends none."""

    def __init__(self, *, chunk_bytes: int, row_bytes: int, quoting: bool) -> None:
        """Cut chunks of about `chunk_bytes`; a row longer than `row_bytes` is an error."""
        self._chunk_bytes, self._row_bytes, self._quoting = chunk_bytes, row_bytes, quoting
        self._pieces: list[bytes] = []
        self._size = 0
        self._wanted = chunk_bytes
        self.line = 1

    def feed(self, piece: bytes) -> Iterator[tuple[int, bytes]]:
        """Take a piece; yield the number of its first line and each chunk that is whole by now."""
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size < self._wanted:
            return
        text = self._taken()
        start = 0
        while len(text) - start >= self._chunk_bytes:
            end = self._end(text, start)
            if end == start:
                self._check(text[start:])
                break
            yield self._numbered(text[start:end])
            start = end
        self._keep(text[start:])

    def first_row(self, piece: bytes) -> bytes | None:
        """Take a piece; return the first row without its end, or None while it is not whole."""
        text = self._taken() + piece
        if not (end := self._row_end(text, 0)):
            self._check(text)
            self._keep(text)
            return None
        _, row = self._numbered(text[:end])
        self._keep(text[end:])
        return row.removesuffix(NEWLINE).removesuffix(b"\r")

    def last_row(self) -> bytes:
        """Return what is left as one row, when the body has ended within it."""
        return self._taken()

    def rest(self) -> Iterator[tuple[int, bytes]]:
        """Yield what is left when the body has ended."""
        self._wanted = 0
        yield from self.feed(b"")
        if text := self._taken():
            yield self._numbered(text)

    def _end(self, text: bytes, start: int) -> int:
        """Return where the last row ends that fits a chunk, or else the first one that does not."""
        odd = text.count(QUOTE, start, start + self._chunk_bytes) % 2 if self._quoting else 0
        stop = start + self._chunk_bytes
        while (end := text.rfind(NEWLINE, start, stop)) >= 0:
            odd ^= text.count(QUOTE, end, stop) % 2 if self._quoting else 0
            if not odd:
                return end + 1
            stop = end
        return self._row_end(text, start) or start

    def _row_end(self, text: bytes, start: int) -> int:
        """Return where the row ends that begins at `start`, 0 where it does not."""
        end, odd, seen = text.find(NEWLINE, start), 0, start
        while self._quoting and end >= 0:
            odd ^= text.count(QUOTE, seen, end) % 2
            if not odd:
                break
            seen, end = end, text.find(NEWLINE, end + 1)
        return end + 1

    def _check(self, unfinished: bytes) -> None:
        if len(unfinished) > self._row_bytes + self._chunk_bytes:
            raise MalformedBodyError(
                f"line {self.line}: the row is longer than {self._row_bytes} bytes; "
                "is a quote left open?"
            )

    def _keep(self, text: bytes) -> None:
        self._pieces, self._size = [text], len(text)
        # A row longer than a chunk is looked at again only when there is as much again.
        self._wanted = max(self._chunk_bytes, 2 * len(text))

    def _taken(self) -> bytes:
        text = b"".join(self._pieces)
        self._pieces, self._size = [], 0
        return text

    def _numbered(self, chunk: bytes) -> tuple[int, bytes]:
        line = self.line
        self.line += chunk.count(NEWLINE)
        return line, chunk
