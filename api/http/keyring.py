"""Settings and a file → the API keys there are; the file is read again when it changes.

Only hashes are kept. A key is 32 random bytes, which nobody can guess from its hash; a slow hash,
made for what people think up themselves, would add nothing but time to each request.
"""

import logging
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from hmac import compare_digest
from secrets import token_urlsafe

from api.settings import Settings
from treeline.errors import ConfigError

PREFIX = "treeline_"  # by which people, and those who look for leaked secrets, know a key
LINE = re.compile(r"([A-Za-z0-9._-]{1,64}):sha256:([0-9a-f]{64})((?::[a-z]+=[a-z0-9+-]*)*)")
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
LOOK_SECONDS = 1

PREDICT, READ, WRITE, JOBS = "predict", "read", "write", "jobs"
SCOPES = {
    PREDICT: "ask for predictions where they are closed",
    READ: "export what was predicted",
    WRITE: "upload, describe, remove, load and unload models; tell what proved to be true",
    JOBS: "train by jobs, which run the caller's code in a container",
}
EVERYTHING = frozenset(SCOPES) - {JOBS}
"""What a key opens that names no scopes; who may run code is said in so many words."""

Mark = tuple[int, int, int]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Key:
    """What is known of a key: who has it, what it is good for, the last day it is (UTC)."""

    name: str
    scopes: frozenset[str] = EVERYTHING
    expires: date | None = None

    def expired(self, today: date | None = None) -> bool:
        """Tell whether its last day is over."""
        return self.expires is not None and (today or datetime.now(UTC).date()) > self.expires


class Keyring:
    """Knows keys by their hashes."""

    def __init__(self, settings: Settings) -> None:
        """Read all keys; raises ConfigError when one is not written as it must be."""
        given = settings.keys.get_secret_value().split(",")
        self._given = parsed(given, place="API_KEYS, entry")
        self._file = settings.keys_file
        self._mark = self._marked()
        self._read = self._from_file()
        self._looked = time.monotonic()
        self.refused = ""
        """Why the file as it is now is not used, and its former keys are."""

    @property
    def empty(self) -> bool:
        """Whether there is no key at all."""
        self.look()
        return not (self._given or self._read)

    def find(self, key: bytes) -> Key | None:
        """Return what is known of a key, expired or not, or None; takes as long for either."""
        self.look()
        digest, match = sha256(key).digest(), None
        for keys in (self._given, self._read):
            for known, entry in keys.items():
                if compare_digest(known, digest):
                    match = entry
        return match

    def look(self) -> None:
        """Read the file again if it has changed, and if the last look is a moment ago."""
        if self._file is None or time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        try:
            if (mark := self._marked()) == self._mark and not self.refused:
                return
            self._read = self._from_file()
        except ConfigError as error:
            if self.refused != str(error):
                logger.error("%s; the former keys stay valid", error)
            self.refused = str(error)
            return
        self._mark, self.refused = mark, ""
        logger.info("API_KEYS_FILE is read again: %d keys", len(self._read))

    def _marked(self) -> Mark | None:
        """Return what changes when the file does."""
        if self._file is None:
            return None
        try:
            status = self._file.stat()
        except OSError as error:
            raise ConfigError(f"API_KEYS_FILE: it cannot be read: {error.strerror}") from error
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _from_file(self) -> Mapping[bytes, Key]:
        if self._file is None:
            return {}
        try:
            lines = self._file.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise ConfigError(f"API_KEYS_FILE: it cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError("API_KEYS_FILE: it is not a text in UTF-8") from error
        return parsed(lines, place="API_KEYS_FILE, line")


def parsed(lines: list[str], *, place: str) -> dict[bytes, Key]:
    """Return keys by their hashes; raises ConfigError that repeats no line.

    Someone may have written the key itself.
    """
    keys = {}
    for number, line in enumerate(lines, start=1):
        written = line.strip()
        if not written or written.startswith("#"):
            continue
        match = LINE.fullmatch(written)
        if match is None:
            raise ConfigError(
                f"{place} {number}: it is not name:sha256:… with 64 hexadecimal digits, then "
                "perhaps :scopes=… and :expires=…; make one with: python -m api.keys NAME"
            )
        keys[bytes.fromhex(match[2])] = _key(match[1], match[3], place=f"{place} {number}")
    return keys


def _key(name: str, options: str, *, place: str) -> Key:
    scopes, expires, seen = EVERYTHING, None, set()
    for option in options.split(":")[1:]:
        kind, _, value = option.partition("=")
        if kind in seen or kind not in ("scopes", "expires"):
            raise ConfigError(f"{place}: after the hash give scopes=… and expires=…, each once")
        seen.add(kind)
        try:
            if kind == "scopes":
                scopes = scopes_of(value.split("+"))
            else:
                expires = day_of(value)
        except ConfigError as error:
            raise ConfigError(f"{place}: {error}") from error
    return Key(name, scopes, expires)


def scopes_of(names: Iterable[str]) -> frozenset[str]:
    """Return scopes by their names; raises ConfigError for none, and for one there is not."""
    scopes = frozenset(names)
    if not scopes or not scopes <= frozenset(SCOPES):
        raise ConfigError(f"the scopes are {', '.join(SCOPES)}; several: predict+read")
    return scopes


def day_of(text: str) -> date:
    """Return the last day of a key; raises ConfigError."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError("a key expires after a day such as 2027-01-31") from error


def new_key(
    name: str, *, scopes: frozenset[str] = EVERYTHING, expires: date | None = None
) -> tuple[str, str]:
    """Return a new key, and the line that makes it known; raises ConfigError for such a name."""
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"the name {name!r}: use 1 to 64 letters, digits, dots, dashes and underscores"
        )
    key = PREFIX + token_urlsafe(32)
    line = f"{name}:sha256:{sha256(key.encode()).hexdigest()}"
    if scopes != EVERYTHING:
        line += ":scopes=" + "+".join(each for each in SCOPES if each in scopes)
    if expires is not None:
        line += f":expires={expires.isoformat()}"
    return key, line
