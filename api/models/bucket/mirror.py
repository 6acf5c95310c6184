"""What one state folder holds of the uploads of a store, and which objects there said so."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from api.models.bucket.records import UploadRecord, key_of
from api.models.catalogue import Upload
from api.models.uploaded import UploadStore
from treeline.errors import ArtifactNotFoundError, ArtifactRejectedError
from treeline.files import digest

ANY_NUMBER = 1 << 62  # the store has admitted it already


@dataclass(frozen=True)
class Seen:
    """The object of a model that was taken over last, by its tag; empty: none, or not known.

    `name` is that of the model that is held because of it; empty: none is.
    """

    tag: str = ""
    name: str = ""


NOTHING = Seen()


class Mirror:
    """Keeps a folder of uploads equal to what the records of a store say of it.

    Whoever follows the store and whoever has just changed it take over what they have read, at the
    same time: the first one does so only if nobody has taken over another object meanwhile.
    """

    def __init__(self, store: UploadStore, forget: Callable[[str], None]) -> None:
        """Go on from what is in the folder; `forget` is called for each model that is deleted."""
        self._store, self._forget = store, forget
        self._changing = Lock()
        self._seen = {key_of(name): Seen("", name) for name in store.pointers()}
        self._whole: set[Path] = set()

    def keys(self) -> list[str]:
        """Return the keys of the objects that were taken over."""
        return list(self._seen)

    def names(self) -> list[str]:
        """Return the names of the models that are held."""
        return [seen.name for seen in list(self._seen.values()) if seen.name]

    def seen(self, key: str) -> Seen:
        """Return what was taken over last of a key."""
        return self._seen.get(key, NOTHING)

    def has(self, name: str, upload: Upload) -> bool:
        """Tell whether the graph of an upload is here, under its name and with its bytes."""
        path = Path(self._store.graph(name, upload).path)
        if not path.is_file():
            return False
        if path not in self._whole and digest(path) == upload.sha256:
            self._whole.add(path)
        return path in self._whole

    def take(
        self,
        key: str,
        tag: str,
        record: UploadRecord | None,
        draft: Path | None = None,
        *,
        after: Seen | None = None,
    ) -> None:
        """Hold what a record says, with its graph from a draft or as it is here.

        Without a record nothing is held of the key. With `after` nothing happens unless that is
        still what was seen last. Raises StoreUnwritableError.
        """
        with self._changing:
            seen = self.seen(key)
            if after is not None and seen != after:
                return
            upload = None if record is None else record.upload
            name = "" if record is None or upload is None else record.name
            if seen.name and seen.name != name:
                self._drop(seen.name)
            if upload is not None:
                self._hold(name, upload, draft)
            if tag:
                self._seen[key] = Seen(tag, name)
            else:
                self._seen.pop(key, None)

    def _hold(self, name: str, upload: Upload, draft: Path | None) -> None:
        if draft is not None:
            self._store.publish(name, draft, upload, most=ANY_NUMBER)
            self._whole.add(Path(self._store.graph(name, upload).path))
        elif not self._says(name, upload):
            self._store.point(name, upload)

    def _says(self, name: str, upload: Upload) -> bool:
        try:
            return self._store.pointer(name) is not None and self._store.upload(name) == upload
        except ArtifactRejectedError:
            return False

    def _drop(self, name: str) -> None:
        try:
            self._store.remove(name)
        except ArtifactNotFoundError:
            return  # by hand
        self._forget(name)
