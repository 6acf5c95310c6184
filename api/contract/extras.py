"""What becomes of columns, or keys of a record, that are no features: let be, or refused."""

import re
from collections.abc import Iterable
from itertools import islice
from urllib.parse import parse_qs, quote

from treeline.contract.signature import Signature
from treeline.errors import InvalidInputError, Problem

EXTRA = "extra"  # the parameter of the query
AUTO, IGNORE, REFUSE = CHOICES = ("auto", "ignore", "refuse")
EXTRA_COLUMNS = 256  # that a table, or a record, may have beside its features
LEAVE_OUT = "Leave it out, or have it ignored with ?extra=ignore"
IGNORED = "Ignored-Columns"  # the header that names them
IGNORED_SCHEMA = {
    "description": "Columns that are no features, URL-encoded and joined by commas; absent where "
    "there are none",
    "schema": {"type": "string"},
}
NOTHING: tuple[str, ...] = ()
MOST_NAMED = 32  # columns in that header
# What pandas calls an index without a name: in CSV, in Parquet and Arrow.
INDEX = re.compile(r"|__index_level_\d+__")


def ignored_of(names: Iterable[str], signature: Signature, *, extra: str) -> tuple[str, ...]:
    """Return the columns, or keys of a record, that are no features and are to be let be.

    With "auto" these are let be where every feature is there, optional ones too: then none of them
    can be a feature whose name is misspelt. The index of a frame, which pandas writes beside its
    columns, is none of them in any case.
    """
    there = dict.fromkeys(names)
    known = frozenset(signature.record_names)
    if extra == IGNORE or (extra == AUTO and all(name in there for name in signature.features)):
        return tuple(name for name in there if name not in known)
    index = there if extra == AUTO else ()
    return tuple(name for name in index if INDEX.fullmatch(name) and name not in known)


def ignored_header(names: Iterable[str]) -> str:
    """Return the value of the header that names what was ignored, empty for nothing."""
    return ",".join(quote(name, safe=" ()[]/:") for name in islice(names, MOST_NAMED))


def ignored_headers(names: tuple[str, ...]) -> tuple[tuple[bytes, bytes], ...]:
    """Return that header as it is sent, none for nothing."""
    return ((IGNORED.lower().encode(), ignored_header(names).encode()),) if names else ()


def extra_of(query: bytes) -> str:
    """Return what the query of a request for one record says; raises InvalidInputError."""
    given = parse_qs(query.decode("latin-1"), keep_blank_values=True).get(EXTRA, [REFUSE])[-1]
    if given not in CHOICES:
        text = f"{given[:40]!r} is not admitted; give one of {', '.join(CHOICES)}"
        raise InvalidInputError([Problem(EXTRA, text, given[:40])])
    return given
