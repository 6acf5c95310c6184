"""Artifacts on disk: `<root>/<model>/signature.json` and the files it names → a model in memory.

Files are checked against the digests of the signature before anything opens them, and a loaded
model must repeat the example of its signature before it is handed out.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from treeline.artifact import RUNTIMES, Prediction, Runtime, setting_of
from treeline.contract.encoding import Encoder
from treeline.contract.signature import Signature
from treeline.errors import ArtifactNotFoundError, ArtifactRejectedError
from treeline.registry import resolve

SIGNATURE_FILE = "signature.json"
TRIAL_TOLERANCE = 1e-4  # the example is repeated on another processor, in float32


@dataclass(frozen=True)
class Model:
    """A model ready to predict: its contract, its encoder and its runtime."""

    signature: Signature
    encoder: Encoder
    runtime: Runtime


class Trust(Protocol):
    """What says whether the files of a model may be opened."""

    def admit(self, folder: Path, digests: Mapping[str, str]) -> None:
        """Raise UntrustedArtifactError unless files, by path below the folder, are trusted."""

    def files(self, folder: Path) -> list[Path]:
        """Return the files that decide it, beside those of the models."""


class ArtifactStore:
    """The models exported below one folder, read-only."""

    def __init__(
        self,
        root: Path,
        *,
        admitted: frozenset[str] = frozenset({"onnx"}),
        left_out: Collection[str] = (),
        trust: Trust | None = None,
    ) -> None:
        """Read below `root` all but the names `left_out`; open what an `admitted` runtime runs.

        Without `trust` whatever agrees with its signature is opened.
        """
        self._root = root
        self._trust = trust
        self._admitted = admitted
        self._left_out = frozenset(left_out)

    def names(self) -> list[str]:
        """Return the names of all exported models, sorted."""
        there = {path.parent.name for path in self._root.glob(f"*/{SIGNATURE_FILE}")}
        return sorted(there - self._left_out)

    def vouching(self) -> list[Path]:
        """Return the files that decide whether models are trusted; none where all are."""
        return [] if self._trust is None else self._trust.files(self._root)

    def signature(self, name: str) -> Signature:
        """Read the signature of a model; raises ArtifactNotFoundError, ArtifactRejectedError."""
        return self._read(name)[0]

    def _read(self, name: str) -> tuple[Signature, str]:
        """Return the signature of a model, and the SHA-256 of its file."""
        path = self._root / name / SIGNATURE_FILE
        if name in self._left_out or not path.is_file():
            raise ArtifactNotFoundError(
                f"{path}: no such model; exported are: {', '.join(self.names()) or 'none'}"
            )
        document = path.read_bytes()
        signature = Signature.parse(document, place=str(path))
        if signature.name != name:
            raise ArtifactRejectedError(f"{path}: belongs to {signature.name!r}, not {name!r}")
        return signature, hashlib.sha256(document).hexdigest()

    def load(self, name: str) -> Model:
        """Check, open and try a model; raises ArtifactNotFoundError, ArtifactRejectedError."""
        signature, document = self._read(name)
        if self._trust is not None:
            files = {f"{name}/{file}": digest for file, digest in signature.files.items()}
            self._trust.admit(self._root, {f"{name}/{SIGNATURE_FILE}": document, **files})
        if signature.runtime not in self._admitted:
            raise ArtifactRejectedError(
                f"{name}: needs the {signature.runtime} runtime, and admitted is only "
                f"{', '.join(sorted(self._admitted))}{_way_in(signature.runtime)}"
            )
        runtime_class = resolve(
            RUNTIMES, signature.runtime, place=f"{name}/{SIGNATURE_FILE}: runtime"
        )
        runtime: Runtime = runtime_class.load(self._checked_files(signature))
        carried = runtime.embedded_signature()
        if carried is not None and not signature.is_carried_by(carried):
            raise ArtifactRejectedError(
                f"{name}: the signature inside the artifact is not the committed one; export again"
            )
        model = Model(signature=signature, encoder=Encoder(signature.features), runtime=runtime)
        try_example(model)
        return model

    def _checked_files(self, signature: Signature) -> Mapping[str, bytes]:
        folder = self._root / signature.name
        files = {}
        for name, expected in signature.files.items():
            path = folder / name
            if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
                raise ArtifactRejectedError(f"{path}: missing; fetch it with: dvc pull {path}")
            files[name] = path.read_bytes()
            actual = hashlib.sha256(files[name]).hexdigest()
            if actual != expected:
                raise ArtifactRejectedError(
                    f"{path}: its SHA-256 begins {actual[:12]}, the signature says "
                    f"{expected[:12]}; fetch the right one with: dvc pull {path}"
                )
        return files


def _way_in(runtime: str) -> str:
    """Say how a runtime is admitted that runs code when it opens a model."""
    if runtime not in RUNTIMES:
        return ""
    return (
        f"; opening it runs code: if you trust who made it, set {setting_of(runtime)}=1 for "
        f"the service, and give --admit {runtime} to score"
    )


def try_example(model: Model) -> None:
    """Let a model predict its own example; raises ArtifactRejectedError when it differs."""
    example = model.signature.example
    try:
        scores = scores_of(model.runtime.predict(model.encoder.matrix([example.record])))
    except Exception as error:  # a graph or a pickle can fail in ways of its own
        raise ArtifactRejectedError(
            f"{model.signature.name}: its example cannot be predicted: "
            f"{type(error).__name__}: {error}; export the model again"
        ) from error
    if len(scores) != len(example.scores) or not np.allclose(
        scores, example.scores, rtol=TRIAL_TOLERANCE, atol=TRIAL_TOLERANCE
    ):
        raise ArtifactRejectedError(
            f"{model.signature.name}: its example gives {scores}, not {list(example.scores)}"
        )


def scores_of(prediction: Prediction) -> list[float]:
    """Return what the first row got: a probability per class, or a label code, or a value."""
    for outputs in (prediction.scores, prediction.labels, prediction.values):
        if outputs is not None:
            return [float(score) for score in np.atleast_1d(outputs[0])]
    raise ArtifactRejectedError("the artifact predicts nothing: it has no output of a known name")
