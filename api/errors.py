"""What the service itself refuses, and the one table: error → HTTP status.

    TreelineError
    ├── MalformedBodyError          the bytes of a request are not what they say they are
    │   └── CallerGoneError             they ended before they were whole
    ├── UnsupportedMediaTypeError   its Content-Type is one the route does not read
    ├── BodyTooLargeError           it is larger than the setting allows
    ├── BodyLateError               it does not come, or too slowly
    ├── NotAcceptableError          no format that it accepts can be written
    ├── UnusableAnswerError         the model gave something that is no answer
    ├── RunTooLongError             a run apart from the worker took longer than it may
    ├── RunTooLargeError            it needed more memory, or answered longer, than it may
    │   └── RunStarvedError             it needed more memory, which cost the process it ran in
    ├── RunCrashedError             it broke the process that it ran in
    ├── KeyRequiredError            it needs an API key, and has none that is known
    ├── NoKeysError                 it needs an API key, and the service has none at all
    ├── ScopeMissingError           its API key may do other things, but not this
    ├── UnknownHostError            it calls the service by a name that is none of its own
    ├── RetryError                  it may succeed later
    │   ├── TooManyRequestsError        its caller asks more often than allowed
    │   ├── TooBusyError                the service has too much under way
    │   │   └── BodiesFullError             the bodies under way fill the memory that they may have
    │   ├── StateFolderError            the folder the service writes to cannot be written
    │   ├── LogUnavailableError         the database of the prediction log cannot be asked
    │   ├── VersionAwaitedError         a version of the registry is not here yet
    │   ├── StoreAwayError              the store that uploads live in does not take a change
    │   ├── UploadConflictError         another change of the same upload came first
    │   └── JobsFullError               as many jobs have not ended as may be
    ├── LogOffError                 no prediction is recorded, so none can be asked for
    ├── NotRemovableError           the name belongs to a model that is not an uploaded one
    ├── NameTakenError              another model has the same name but for hyphens
    ├── NameElsewhereError          models of that name are held by other replicas
    ├── JobUnknownError             there is no such job, or it is another key's
    ├── JobOverError                the job has ended
    ├── UploadsFullError            there is no room for another model
    ├── StoreUnwritableError        the folder of uploaded models cannot be written
    └── ProblemsError
        ├── NotReadyError           not every model can be served
        └── UploadRejectedError     an uploaded model is refused

The rest of the tree is in `treeline.errors`. `api.http.problems` turns each into a document.
"""

from dataclasses import dataclass
from math import ceil

from treeline.errors import (
    ArtifactNotFoundError,
    ArtifactRejectedError,
    EngineError,
    InvalidInputError,
    ProblemsError,
    TreelineError,
)


class MalformedBodyError(TreelineError):
    """The bytes of a request body cannot be read as its format."""


class CallerGoneError(MalformedBodyError):
    """A caller has gone before the end of its body; nobody reads the answer."""

    def __init__(self) -> None:
        super().__init__("The body ended before it was whole.")


class UnsupportedMediaTypeError(TreelineError):
    """The Content-Type of a request is one the route does not read."""


class BodyTooLargeError(TreelineError):
    """A request body is larger than the setting allows."""


class BodyLateError(TreelineError):
    """A request body does not come, or too slowly."""

    def __init__(self) -> None:
        super().__init__(
            "The body did not come in time; send it faster. API_BODY_SECONDS and "
            "API_BODY_BYTES_PER_SECOND are the limits."
        )


class NotAcceptableError(TreelineError):
    """No format that a request accepts can be written."""


class KeyRequiredError(TreelineError):
    """A request needs an API key, and has none that is known."""

    headers = {"WWW-Authenticate": "Bearer"}


class NoKeysError(TreelineError):
    """A request needs an API key, and the service was given none."""


class ScopeMissingError(TreelineError):
    """The API key of a request may do other things, but not what it asks for."""


class UnknownHostError(TreelineError):
    """A request names a host that the settings do not."""


class RetryError(TreelineError):
    """A request that may succeed later: `seconds` says when to ask again."""

    def __init__(self, message: str, *, seconds: float = 1) -> None:
        super().__init__(message)
        self.headers = {"Retry-After": str(max(1, ceil(seconds)))}


class TooManyRequestsError(RetryError):
    """A caller asks more often than the setting allows."""


class TooBusyError(RetryError):
    """The service has as many requests under way as the setting allows."""


class BodiesFullError(TooBusyError):
    """The bodies under way hold as much memory as the setting allows."""


class StateFolderError(RetryError):
    """The folder that the service writes to cannot be written."""


class LogUnavailableError(RetryError):
    """The database of the prediction log cannot be asked now."""


class VersionAwaitedError(RetryError):
    """A version that the registry offers is not fetched yet."""


class StoreAwayError(RetryError):
    """The store that uploads live in cannot be asked, or does not take a change."""


class UploadConflictError(RetryError):
    """Another change of an upload came first, here or at another replica."""


class LogOffError(TreelineError):
    """The prediction log is switched off."""


class PredictionUnknownError(TreelineError):
    """The prediction log has no prediction with that id."""


class NotRemovableError(TreelineError):
    """The name belongs to a model that was exported, not uploaded."""


class NameTakenError(TreelineError):
    """Another model's name differs in hyphens and underscores only."""


class NameElsewhereError(TreelineError):
    """Models of that name are held by another group of replicas."""


class JobUnknownError(TreelineError):
    """There is no job with that id, or it is another key's."""


class JobOverError(TreelineError):
    """The job has ended, and cannot be cancelled."""


class JobsFullError(RetryError):
    """As many jobs have not ended as the setting allows, of one key or of all."""


class UploadsFullError(TreelineError):
    """As many models are uploaded as the setting allows."""


class StoreUnwritableError(TreelineError):
    """The folder of uploaded models cannot be written to."""


class UploadRejectedError(ProblemsError):
    """An uploaded model is refused; `problems` lists every reason."""


class UnusableAnswerError(TreelineError):
    """A model gave something for a valid record that is no answer."""


class RunTooLongError(TreelineError):
    """A run of a stranger's graph, or on a stranger's table, took longer than it may."""


class RunTooLargeError(TreelineError):
    """Such a run needed more memory than it may have, or its answer is too long."""


class RunStarvedError(RunTooLargeError):
    """Such a run needed more memory than it may have, and its process was ended."""


class RunCrashedError(TreelineError):
    """Such a run broke the process that it ran in."""


CIRCUMSTANCES = (RetryError, RunTooLongError, RunTooLargeError, RunCrashedError)
"""What says nothing for sure of a model that cannot be opened: it may be opened another time."""


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
    KeyRequiredError: Kind(401, "key-required", "An API key is required"),
    UnknownHostError: Kind(400, "unknown-host", "The host is unknown"),
    ScopeMissingError: Kind(403, "scope-missing", "The API key may not do that"),
    NoKeysError: Kind(403, "no-keys", "The service has no API keys"),
    ArtifactNotFoundError: Kind(404, "model-not-found", "There is no such model"),
    PredictionUnknownError: Kind(404, "prediction-not-found", "There is no such prediction"),
    JobUnknownError: Kind(404, "job-unknown", "There is no such job"),
    NotAcceptableError: Kind(406, "not-acceptable", "No accepted format can be written"),
    BodyLateError: Kind(408, "body-late", "The body came too slowly"),
    LogOffError: Kind(409, "log-off", "There is no prediction log"),
    NotRemovableError: Kind(409, "not-removable", "The model was not uploaded"),
    NameTakenError: Kind(409, "name-taken", "The name is too much like another one"),
    NameElsewhereError: Kind(409, "name-elsewhere", "Other replicas hold models of that name"),
    UploadConflictError: Kind(409, "upload-conflict", "Another change of the model came first"),
    JobOverError: Kind(409, "job-over", "The job has ended"),
    UploadsFullError: Kind(409, "uploads-full", "There is no room for another model"),
    BodyTooLargeError: Kind(413, "body-too-large", "The body is too large"),
    UnsupportedMediaTypeError: Kind(415, "unsupported-media-type", "The media type is unknown"),
    InvalidInputError: Kind(422, "invalid-input", "The input breaks the contract of the model"),
    UploadRejectedError: Kind(422, "upload-rejected", "The uploaded model is refused"),
    UnusableAnswerError: Kind(422, "unusable-answer", "The model has no answer to this input"),
    RunTooLongError: Kind(422, "run-too-long", "The run takes too long"),
    RunTooLargeError: Kind(422, "run-too-large", "The run takes too much memory"),
    RunCrashedError: Kind(422, "run-crashed", "The run cannot be ended well"),
    TooManyRequestsError: Kind(429, "too-many-requests", "There are too many requests"),
    JobsFullError: Kind(429, "jobs-full", "There are too many jobs"),
    ArtifactRejectedError: Kind(503, "model-not-ready", "The model cannot be served"),
    EngineError: Kind(503, "engine-lost", "The engine of the model does not answer"),
    StoreUnwritableError: Kind(503, "store-unwritable", "Nothing can be uploaded now"),
    TooBusyError: Kind(503, "too-busy", "The service has too much under way"),
    BodiesFullError: Kind(503, "bodies-full", "The bodies under way are too large"),
    StateFolderError: Kind(503, "state-folder", "The state folder cannot be written"),
    LogUnavailableError: Kind(503, "log-unavailable", "The prediction log cannot be read"),
    StoreAwayError: Kind(503, "store-away", "The store of models takes no change now"),
    VersionAwaitedError: Kind(503, "version-awaited", "The version is not fetched yet"),
    NotReadyError: Kind(503, "not-ready", "Not every model can be served"),
}


def kind_of(error: TreelineError) -> Kind | None:
    """Return the kind of an error: the entry of its nearest class in the table, if it has one."""
    return next((STATUS[cls] for cls in type(error).__mro__ if cls in STATUS), None)
