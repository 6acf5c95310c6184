"""An artifact on the shelf → what answers: behind its signature, or as a tensor model."""

import logging
from datetime import datetime

from api.catalogue.declaration import Upload
from api.catalogue.entries import Entry
from api.errors import RetryError
from api.registry.shelf import FILE, Shelf
from api.tensors.graph import GraphFile
from api.uploads.opening import Running, opened
from treeline.artifact.store import SIGNATURE_FILE, ArtifactStore
from treeline.errors import ArtifactRejectedError, TreelineError

logger = logging.getLogger(__name__)


def loaded(shelf: Shelf, name: str, artifact: str, running: Running, *, created: datetime) -> Entry:
    """Load an artifact under the name of its model, or remember why that cannot be done."""
    try:
        return opened_from(shelf, name, artifact, running, created=created)
    except RetryError:  # of what runs graphs: it says nothing of this one
        raise
    except TreelineError as error:
        logger.warning("%s of the registry is not served: %s", name, error)
        return Entry(name, reason=str(error), origin="registry")
    except Exception as error:  # whatever one artifact does, the others must be served
        logger.exception("%s of the registry is not served", name)
        reason = f"{name}: {type(error).__name__}: {error}"
        return Entry(name, reason=reason, origin="registry")


def opened_from(
    shelf: Shelf, name: str, artifact: str, running: Running, *, created: datetime
) -> Entry:
    """Load an artifact; raises ArtifactError, RetryError and OSError."""
    root = shelf.root(artifact)
    signature = None
    path = root / name / FILE
    if (root / name / SIGNATURE_FILE).exists():
        signature = ArtifactStore(root).signature(name)
        (file,) = signature.files
        path = root / name / file
    if not path.is_file() or not path.resolve().is_relative_to((root / name).resolve()):
        raise ArtifactRejectedError(f"{name}: {artifact[:12]} is not on the shelf as it was put")
    upload = Upload(sha256=artifact, size_bytes=path.stat().st_size, uploaded=created)
    graph = GraphFile(name, str(path.resolve()), artifact)
    return opened(graph, upload, running, origin="registry", signature=signature)
