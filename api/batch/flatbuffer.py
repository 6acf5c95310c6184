"""Bytes of a flatbuffer → its tables and numbers; no position outside of the bytes is ever read."""

import struct
from dataclasses import dataclass

from api.errors import MalformedBodyError

UINT8, UINT16, INT16, INT32, UINT32, INT64 = map(
    struct.Struct, ("<B", "<H", "<h", "<i", "<I", "<q")
)


@dataclass(frozen=True)
class Table:
    """One table: where its fields are is said by its `vtable`, at a distance from `place`."""

    payload: bytes
    place: int

    @classmethod
    def root(cls, payload: bytes) -> "Table":
        """Return the table that a flatbuffer is."""
        return cls(payload, number(payload, 0, UINT32))

    def number(self, field: int, kind: struct.Struct, *, default: int = 0) -> int:
        """Return the number in a field, or what stands for one that is left out."""
        place = self._field(field)
        return number(self.payload, place, kind) if place else default

    def table(self, field: int) -> "Table | None":
        """Return the table that a field points to, None where it is left out."""
        place = self._field(field)
        return Table(self.payload, self._followed(place)) if place else None

    def tables(self, field: int) -> list["Table"]:
        """Return the tables of a vector."""
        places = self._places(field, INT32.size)
        return [Table(self.payload, self._followed(place)) for place in places]

    def pairs(self, field: int) -> list[tuple[int, int]]:
        """Return a vector of structures that are two 64-bit numbers each."""
        return [
            (number(self.payload, place, INT64), number(self.payload, place + INT64.size, INT64))
            for place in self._places(field, 2 * INT64.size)
        ]

    def _places(self, field: int, size: int) -> range:
        place = self._field(field)
        if not place:
            return range(0)
        start = self._followed(place)
        count = number(self.payload, start, UINT32)
        first = start + UINT32.size
        if first + count * size > len(self.payload):
            raise beyond()
        return range(first, first + count * size, size)

    def _followed(self, place: int) -> int:
        return place + number(self.payload, place, UINT32)

    def _field(self, field: int) -> int:
        """Return where a field is, 0 where it is left out."""
        vtable = self.place - number(self.payload, self.place, INT32)
        entry = 2 * UINT16.size + field * UINT16.size
        if entry + UINT16.size > number(self.payload, vtable, UINT16):
            return 0
        offset = number(self.payload, vtable + entry, UINT16)
        return self.place + offset if offset else 0


def number(payload: bytes, place: int, kind: struct.Struct) -> int:
    """Return the number at a place; raises MalformedBodyError where that is outside."""
    if not 0 <= place <= len(payload) - kind.size:
        raise beyond()
    found: int = kind.unpack_from(payload, place)[0]
    return found


def beyond() -> MalformedBodyError:
    """Return the error to raise where a position points outside."""
    return MalformedBodyError("The body is not an Arrow stream: its metadata point outside.")
