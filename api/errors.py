"""What the service itself refuses, and the one table: error → HTTP status.

    TreelineError
    ├── MalformedBodyError          the bytes of a request are not what they say they are
    ├── UnsupportedMediaTypeError   its Content-Type is one the route does not read
    ├── BodyTooLargeError           it is larger than the setting allows
    ├── UnusableAnswerError         the model gave something that is no answer
    └── ProblemsError
        └── NotReadyError           not every model can be served

The rest of the tree is in `treeline.errors`. `api.problems` turns each into a document.
"""

from dataclasses import dataclass

from treeline.errors import (
    ArtifactNotFoundError,
    ArtifactRejectedError,
    InvalidInputError,
    ProblemsError,
    TreelineError,
)


class MalformedBodyError(TreelineError):
    """The bytes of a request body cannot be read as its format."""


class UnsupportedMediaTypeError(TreelineError):
    """The Content-Type of a request is one the route does not read."""


class BodyTooLargeError(TreelineError):
    """A request body is larger than the setting allows."""


class UnusableAnswerError(TreelineError):
    """A model gave something for a valid record that is no answer."""


class NotReadyError(ProblemsError):
    """Not every model can be served; `problems` lists each with its reason."""


@dataclass(frozen=True)
class Kind:
    """One kind of problem: its HTTP status, its name in the problem's `type`, and its title."""

    status: int
    name: str
    title: str


STATUS: dict[type[TreelineError], Kind] = {
    MalformedBodyError: Kind(400, "malformed-body", "The body cannot be read"),
    ArtifactNotFoundError: Kind(404, "model-not-found", "There is no such model"),
    BodyTooLargeError: Kind(413, "body-too-large", "The body is too large"),
    UnsupportedMediaTypeError: Kind(415, "unsupported-media-type", "The media type is unknown"),
    InvalidInputError: Kind(422, "invalid-input", "The input breaks the contract of the model"),
    UnusableAnswerError: Kind(500, "unusable-answer", "The model gave no usable answer"),
    ArtifactRejectedError: Kind(503, "model-not-ready", "The model cannot be served"),
    NotReadyError: Kind(503, "not-ready", "Not every model can be served"),
}


def kind_of(error: TreelineError) -> Kind | None:
    """Return the kind of an error: the entry of its nearest class in the table, if it has one."""
    return next((STATUS[cls] for cls in type(error).__mro__ if cls in STATUS), None)
