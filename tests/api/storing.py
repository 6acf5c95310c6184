"""One machine whose uploads live in a bucket, without its workers: what its follower does."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from onnx import ModelProto

from api.models.bucket.changing import UploadChanger
from api.models.bucket.mirror import Mirror
from api.models.bucket.mirroring import UploadMirrorer
from api.models.bucket.orders import Order, StoredFolder
from api.models.catalogue import Changes, Upload
from api.models.fetched import environment_of
from api.settings import Settings
from tests.serving import ROOT
from tests.waiting import wait_until
from treeline.buckets import bucket_at
from treeline.jobs.documents import JobLineage

SECONDS = 60


class Replica:
    """A state folder, and a follower that does as it is told."""

    def __init__(self, state: Path, address: str, **settings: Any) -> None:
        self.state, self.address, self.given = state, address, settings
        self.folder = StoredFolder(state)
        self.folder.enter().release()
        self.forgotten: list[str] = []
        self.restart()

    def restart(self) -> None:
        """Begin anew with what is in the state folder, as a follower does that is started."""
        given: dict[str, Any] = {"models": self.address, "uploads": "store"}
        settings = Settings(state_dir=self.state, **given | self.given)
        bucket = bucket_at(self.address, place="here")
        mirror = Mirror(self.folder.uploads, self.forgotten.append)
        self.mirrorer = UploadMirrorer(self.folder, mirror, bucket, settings)
        self.changer = UploadChanger(self.folder, mirror, self.mirrorer, bucket, settings)

    def held(self) -> dict[str, str]:
        """Look once, and return the SHA-256 of each model that is held, by name."""
        self.mirrorer.poll()
        return self.holds()

    def holds(self) -> dict[str, str]:
        """Return the same without a look."""
        store = self.folder.uploads
        return {name: store.upload(name).sha256 for name in store.pointers()}

    def place(self, order: Order, payload: bytes | None = None) -> Order:
        """Ask for a change, as a worker does."""
        if payload is None:
            self.folder.place(order)
            return order
        with self.folder.uploads.draft() as draft:
            draft.write_bytes(payload)
            self.folder.place(order, draft)
        return order

    def result(self, order: Order) -> bool:
        """Have a change made; raises what came of it."""
        self.changer.step()
        return self.answered(order)

    def answered(self, order: Order) -> bool:
        """Wait for what comes of an order, and raise it."""
        wait_until(lambda: self.is_over(order), seconds=SECONDS, what=f"{order.action} is over")
        answer = self.folder.answer(order.id)
        assert answer is not None
        return answer.result()

    @contextmanager
    def followed(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the follower itself meanwhile, as a worker does that starts one."""
        settings = Settings(models=self.address, uploads="store", state_dir=self.state)
        alive = self.folder.enter()
        command = [sys.executable, "-m", "api.models.bucket.follower"]
        with subprocess.Popen(command, env=environment_of(settings), cwd=ROOT) as process:
            try:
                yield process
            finally:
                alive.release()
                process.wait(SECONDS)

    def is_over(self, order: Order) -> bool:
        """Tell whether an order is answered."""
        return (self.folder.folder / "orders" / f"{order.id}.answer").exists()

    def put(self, name: str, model: ModelProto, owner: str = "") -> bool:
        """Upload a model that has passed its trial, of a job where there is an owner."""
        return self.result(self.put_later(name, model, owner))

    def put_later(self, name: str, model: ModelProto, owner: str = "") -> Order:
        """Ask for that."""
        payload = model.SerializeToString()
        upload = Upload(
            sha256=hashlib.sha256(payload).hexdigest(),
            size_bytes=len(payload),
            uploaded=datetime.now(UTC),
            job=lineage(owner) if owner else None,
        )
        return self.place(order_of("publish", name, upload=upload), payload)

    def describe(self, name: str, sha256: str, **said: Any) -> bool:
        """Say something else of a model."""
        order = order_of("describe", name, sha256=sha256, said=Changes(**said))
        return self.result(self.place(order))

    def remove(self, name: str) -> bool:
        """Delete a model."""
        return self.result(self.place(order_of("remove", name)))


def order_of(action: Any, name: str, **given: Any) -> Order:
    """Return an order with an id of its own."""
    return Order(id=uuid4().hex, action=action, name=name, **given)


def lineage(owner: str) -> JobLineage:
    """Return what is said of a model that a job of that owner has made."""
    return JobLineage(id="1", owner=owner, kind="script", image="", files={})


def sha256_of(model: ModelProto) -> str:
    """Return what tells a model from others."""
    return hashlib.sha256(model.SerializeToString()).hexdigest()
