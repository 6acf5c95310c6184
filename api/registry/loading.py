"""An artifact on the shelf → what answers: behind its signature, or as a tensor model."""

import logging
from datetime import datetime

from api.catalogue.declaration import Upload
from api.catalogue.entries import Entry
from api.prediction.predictor import Predictor
from api.registry.shelf import FILE, Shelf
from api.uploads.opening import opened
from treeline.artifact.store import SIGNATURE_FILE, ArtifactStore
from treeline.errors import ArtifactRejectedError, TreelineError
from treeline.files import digest

logger = logging.getLogger(__name__)


def loaded(shelf: Shelf, name: str, artifact: str, *, created: datetime) -> Entry:
    """Load an artifact under the name of its model, or remember why that cannot be done."""
    try:
        return opened_from(shelf, name, artifact, created=created)
    except TreelineError as error:
        logger.warning("%s of the registry is not served: %s", name, error)
        return Entry(name, reason=str(error), origin="registry")
    except Exception as error:  # whatever one artifact does, the others must be served
        logger.exception("%s of the registry is not served", name)
        reason = f"{name}: {type(error).__name__}: {error}"
        return Entry(name, reason=reason, origin="registry")


def opened_from(shelf: Shelf, name: str, artifact: str, *, created: datetime) -> Entry:
    """Load an artifact; raises ArtifactError and OSError."""
    root = shelf.root(artifact)
    if (root / name / SIGNATURE_FILE).exists():
        model = ArtifactStore(root).load(name)
        predictor = Predictor(model, root=root)
        return Entry(name, model.signature, predictor, origin="registry")
    path = root / name / FILE
    if not path.is_file() or digest(path) != artifact:
        raise ArtifactRejectedError(f"{name}: {artifact[:12]} is not on the shelf as it was put")
    upload = Upload(sha256=artifact, size_bytes=path.stat().st_size, uploaded=created)
    entry = opened(name, path.read_bytes(), upload)
    return Entry(name, tensor=entry.tensor, origin="registry", upload=upload)
