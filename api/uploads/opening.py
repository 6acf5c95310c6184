"""The bytes of an audited model → what answers: behind its own signature, or as a tensor model."""

from api.catalogue.declaration import Upload
from api.catalogue.entries import Entry
from api.prediction.predictor import Predictor
from api.tensors.graph import TensorModel, open_session
from api.tensors.images import misfits
from treeline.artifact.encoding import Encoder
from treeline.artifact.onnx import SIGNATURE_KEY, OnnxRuntime
from treeline.artifact.signature import Signature
from treeline.artifact.store import Model, try_example
from treeline.errors import ArtifactRejectedError

FILE = "model.onnx"


def opened(name: str, payload: bytes, upload: Upload) -> Entry:
    """Open a model under a name, and try its example; raises ArtifactRejectedError."""
    session = open_session(payload, place=name)
    carried = session.get_modelmeta().custom_metadata_map.get(SIGNATURE_KEY)
    if carried is not None:
        return typed(name, payload, Signature.parse(carried, place=f"{name}: signature"), upload)
    model = TensorModel(name, upload.version, session)
    if upload.image is not None and (reasons := misfits(upload.image, model.inputs)):
        raise ArtifactRejectedError(f"{name}: {'; '.join(reasons)}")
    return Entry(name, tensor=model, origin="uploaded", upload=upload)


def typed(name: str, payload: bytes, carried: Signature, upload: Upload) -> Entry:
    """Return a model behind the signature that it carries, under the name of its upload."""
    if carried.runtime != "onnx":
        raise ArtifactRejectedError(
            f"{name}: its signature is one for {carried.runtime!r}; export the model again"
        )
    if upload.image is not None:
        raise ArtifactRejectedError(
            f"{name}: its signature says that it takes records, so it cannot take pictures; "
            "leave `image` out"
        )
    own = {"name": name, "default": False, "files": {FILE: upload.sha256}}
    if upload.description is not None:
        own["description"] = upload.description
    signature = carried.model_copy(update=own)
    runtime = OnnxRuntime.load({FILE: payload})
    model = Model(signature=signature, encoder=Encoder(signature.features), runtime=runtime)
    try_example(model)
    return Entry(name, signature, Predictor(model), origin="uploaded", upload=upload)
