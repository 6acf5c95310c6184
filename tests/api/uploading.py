"""A service to upload to, with a key, and a way past the trial for tests of what comes after it."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from onnx import ModelProto
from starlette.testclient import TestClient

from api.app import create_app
from api.http.keyring import new_key
from api.inference.images import ImageInput
from api.models.catalogue import Upload
from api.models.uploaded import UploadStore
from api.settings import Settings

KEY, KEYS = new_key("tests")
HEADERS = {"Authorization": f"Bearer {KEY}"}


def uploading(models: Path, state: Path, **settings: object) -> TestClient:
    """Return a client that has the key of a service which keeps its uploads below `state`."""
    given = {"prediction_log": False, "keys": KEYS, "model_dir": models, "state_dir": state}
    return TestClient(create_app(Settings(**given | settings)), headers=HEADERS)  # type: ignore[arg-type]


def publish(state: Path, name: str, model: ModelProto, image: ImageInput | None = None) -> Upload:
    """Put a model into the store of a service, as another process does after a trial."""
    payload = model.SerializeToString()
    upload = Upload(
        sha256=hashlib.sha256(payload).hexdigest(),
        size_bytes=len(payload),
        uploaded=datetime.now(UTC),
        image=image,
    )
    store = UploadStore(state / "uploads")
    with store.draft() as draft:
        draft.write_bytes(payload)
        store.publish(name, draft, upload, most=1000)
    return upload
