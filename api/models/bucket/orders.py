"""Folder between the workers, which are asked for changes of uploads, and the follower.

<state_dir>/stored/uploads/<name>/…         what the store names: the workers serve it
<state_dir>/stored/changes/uploads          advanced by each change of that
<state_dir>/stored/orders/<id>.order        a change that a worker asks for
<state_dir>/stored/orders/<id>.onnx         the graph that belongs to it
<state_dir>/stored/orders/<id>.taken        the same order, once the follower is at it
<state_dir>/stored/orders/<id>.answer       what came of it
<state_dir>/stored/problems.json            what is named and cannot be had, by model, and why
<state_dir>/stored/asked, away              when the store last answered; why it does not

An order is taken by a rename: until then whoever has asked may withdraw it, and nothing has
happened. One that is taken is always answered, if need be by the next follower, which asks the
store whether it was carried out.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, Self

from pydantic import ValidationError

from api.background import Lock
from api.errors import (
    NameElsewhereError,
    NameTakenError,
    NotRemovableError,
    StoreAwayError,
    StoreUnwritableError,
    UploadConflictError,
    UploadsFullError,
)
from api.models.bucket.folder import BucketFolder, FetchedFolder
from api.models.bucket.records import Change
from api.models.catalogue import Changes, Upload
from api.models.uploaded import UploadStore, age_seconds
from treeline.contract.features import Closed
from treeline.contract.texts import Slug
from treeline.errors import ArtifactNotFoundError, TreelineError
from treeline.files import write_text

LEFT_SECONDS = 3600.0  # after which an answer is removed that nobody has read

# What may come of an order, by the name under which an answer says so.
FAILURES: dict[str, type[TreelineError]] = {
    cls.__name__: cls
    for cls in (
        ArtifactNotFoundError,
        NameElsewhereError,
        NameTakenError,
        NotRemovableError,
        StoreAwayError,
        StoreUnwritableError,
        UploadConflictError,
        UploadsFullError,
    )
}


class Order(Closed):
    """A change that is asked for: serve a graph, say something else of it, delete, or look now.

    `upload` belongs to `publish`; `sha256` and `said` to `describe`: the graph it is about, and
    the values that are given, by name.
    """

    id: Change
    action: Literal["publish", "describe", "remove", "bring"]
    name: Slug
    upload: Upload | None = None
    sha256: str = ""
    said: Changes = Changes()


class Answer(Closed):
    """What came of an order; `error` is the name of a class of errors, empty where it was made."""

    replaced: bool = False
    error: str = ""
    message: str = ""

    @classmethod
    def of(cls, error: Exception) -> Self:
        """Return the answer that tells of an error; one of an unknown class may pass."""
        known = next((each for each in FAILURES.values() if isinstance(error, each)), None)
        if known is not None:
            return cls(error=known.__name__, message=str(error))
        text = f"The change cannot be made now ({type(error).__name__}: {error}); come back later."
        return cls(error=StoreAwayError.__name__, message=text)

    def result(self) -> bool:
        """Return whether another model was replaced; raises the error that it tells of."""
        if self.error:
            raise FAILURES.get(self.error, StoreAwayError)(self.message)
        return self.replaced


class StoredFolder(BucketFolder):
    """What lies below one state folder."""

    def __init__(self, state_dir: Path) -> None:
        """Name the folder, which the first worker makes; who follows the models follows these."""
        super().__init__(state_dir.resolve() / "stored", beside=FetchedFolder(state_dir).folder)
        self.uploads = UploadStore(self.folder / "uploads")
        self._orders = self.folder / "orders"

    def enter(self) -> Lock:
        """Make the folder, and hold what tells the follower that somebody reads it."""
        self._orders.mkdir(parents=True, exist_ok=True)
        return super().enter()

    def graph(self, order_id: str) -> Path:
        """Return where the graph of an order is."""
        return self._orders / f"{order_id}.onnx"

    def place(self, order: Order, draft: Path | None = None) -> None:
        """Ask for a change, with a file that is taken over; raises OSError."""
        if draft is not None:
            draft.replace(self.graph(order.id))
        # Only what was given is written: the others stay as they are.
        write_text(self._path(order.id, "order"), order.model_dump_json(exclude_unset=True))

    def withdraw(self, order_id: str) -> bool:
        """Ask for a change no more, and tell whether nobody has begun with it."""
        try:
            self._path(order_id, "order").unlink()
        except FileNotFoundError:
            return False
        self.graph(order_id).unlink(missing_ok=True)
        return True

    def placed(self) -> list[str]:
        """Return the ids of the orders that nobody has taken, the oldest first."""
        paths = sorted(self._orders.glob("*.order"), key=age_seconds, reverse=True)
        return [path.stem for path in paths]

    def taken(self) -> list[str]:
        """Return the ids of those that are taken, and not answered."""
        return [path.stem for path in self._orders.glob("*.taken")]

    def take(self, order_id: str) -> Order | None:
        """Take an order, or look at one that is taken; None where it is gone, or is none."""
        taken = self._path(order_id, "taken")
        with suppress(FileNotFoundError):
            self._path(order_id, "order").replace(taken)
        try:
            return Order.model_validate_json(taken.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:  # of another release, or not ours
            self.end(order_id, Answer.of(StoreAwayError("The order cannot be read; try again.")))
            return None

    def end(self, order_id: str, answer: Answer) -> None:
        """Tell what came of an order, which is over; raises OSError."""
        write_text(self._path(order_id, "answer"), answer.model_dump_json())
        self._path(order_id, "taken").unlink(missing_ok=True)
        self.graph(order_id).unlink(missing_ok=True)

    def answer(self, order_id: str) -> Answer | None:
        """Return what came of an order, once; None as long as it is not known."""
        path = self._path(order_id, "answer")
        try:
            answer = Answer.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        path.unlink(missing_ok=True)
        return answer

    def clean(self) -> None:
        """Remove what belongs to no order, or to nobody who waits for it."""
        for path in self._left():
            if age_seconds(path) > LEFT_SECONDS:
                path.unlink(missing_ok=True)

    def _left(self) -> Iterator[Path]:
        yield from self._orders.glob("*.answer")
        yield from self._orders.glob(".*.draft")
        for graph in self._orders.glob("*.onnx"):
            if not any(graph.with_suffix(f".{each}").exists() for each in ("order", "taken")):
                yield graph

    def _path(self, order_id: str, suffix: str) -> Path:
        return self._orders / f"{order_id}.{suffix}"
