"""Every error Treeline raises on purpose: one tree, each message naming place, value and way out.

::

    TreelineError
    ├── ConfigError             params.yaml is not a valid declaration
    │   ├── UnknownNameError    a declared name is in no table
    │   └── MissingExtraError   the name is known, its optional package is not installed
    ├── EngineError             an engine beside Python (Java, Spark, H2O) is missing or failed
    ├── TrackingError           an experiment could not be recorded
    ├── RecordError             a file of a stage does not hold what is read from it
    ├── SourceError             rows could not be collected
    │   └── SourceBusyError         they may be had at another attempt
    ├── DataError               collected rows break their declaration
    ├── TrainingError           no candidate could be fitted or scored
    ├── MetricError             a metric of one's own says or gives what is none
    ├── GateError               the gate refused the champion
    ├── ExportError             the estimator could not be turned into an artifact
    ├── ComparisonError         candidate and incumbent could not be set side by side
    │   └── IncumbentAbsentError    the incumbent's artifact is to be had nowhere
    ├── ProvenanceError         where a model comes from is not to be read in this clone
    ├── ScaffoldError           a repository of models could not be made, or brought up to date
    ├── DeliveryError           what was trained could not be published, shipped or told of
    │   ├── StorageError            the DVC remote cannot be reached, or lacks what git points to
    │   ├── BucketError             a store of objects cannot be asked, or says no
    │   │   ├── ObjectAbsentError       it does not have what is asked for
    │   │   └── ObjectChangedError      it has another object there than the writer has seen
    │   ├── PublishingError         the trained models could not be written back to git
    │   ├── SigningError            a release could not be signed
    │   ├── DeploymentError         an image failed its check, or its deployment was not healthy
    │   │   └── NotAdmittedError        a service does not let its examples be asked
    │   └── AgentError              a server that follows releases could not do what is due
    │       ├── RegistryAwayError       who says what is to run cannot be asked now
    │       └── ReleaseRefusedError     a release may not run there
    ├── JobError                a training job cannot be run, or its files are not what they must be
    ├── ArtifactError           an artifact on disk cannot be served
    │   ├── ArtifactNotFoundError   nothing is exported under that name
    │   ├── ArtifactRejectedError   its files contradict its signature
    │   │   └── UntrustedArtifactError  nobody who is trusted has signed them
    │   └── SignatureUncheckedError who has signed them cannot be found out now
    ├── ServiceError            a service did not answer a client as it was to
    │   ├── ServiceAwayError        it cannot be reached, or puts off what it is asked
    │   ├── AccessError             it needs an API key, or one that may do more
    │   └── UnknownModelError       it serves no model of that name
    └── ProblemsError           several things are wrong at once
        └── InvalidInputError       values given for a prediction break the signature

The tree knows nothing of HTTP: the service maps it to status codes in one table (`api.errors`).
"""

from dataclasses import dataclass


class TreelineError(Exception):
    """Root of the tree: catch this to catch everything Treeline raises on purpose."""


class ConfigError(TreelineError):
    """`params.yaml` is not a valid declaration."""


class UnknownNameError(ConfigError):
    """A declared name is in no table."""


class MissingExtraError(ConfigError):
    """A declared name is known, but the optional package behind it is not installed."""


class EngineError(TreelineError):
    """An engine beside Python is missing, cannot start or failed: Java, Spark, H2O."""


class TrackingError(TreelineError):
    """An experiment could not be recorded with the tracker."""


class RecordError(TreelineError):
    """A JSON file that a stage writes does not hold what is read from it."""


class SourceError(TreelineError):
    """The rows of a source could not be collected."""


class SourceBusyError(SourceError):
    """The rows of a source could not be collected now; another attempt may have them."""


class DataError(TreelineError):
    """Collected rows break their declaration."""


class TrainingError(TreelineError):
    """No candidate could be fitted or scored."""


class MetricError(TreelineError):
    """A metric of one's own does not say what it judges, failed, or gave what is no metric."""


class GateError(TreelineError):
    """The gate refused the champion; the message gives its reasons."""


class ExportError(TreelineError):
    """An estimator could not be turned into an artifact."""


class ComparisonError(TreelineError):
    """Candidate and incumbent could not be set side by side."""


class IncumbentAbsentError(ComparisonError):
    """The incumbent's artifact is neither in DVC's cache nor in its remote."""


class TooFewRowsError(ComparisonError):
    """No test row, or none of a class, is left that the incumbent has not learnt from."""


class ProvenanceError(TreelineError):
    """Where a model comes from is not to be read in this clone."""


class ScaffoldError(TreelineError):
    """A repository of models could not be made, or not be brought to another version."""


class DeliveryError(TreelineError):
    """What was trained could not be published, shipped or told of."""


class StorageError(DeliveryError):
    """The DVC remote cannot be reached, or lacks what git points to."""


class BucketError(DeliveryError):
    """A store of objects cannot be asked, or says no."""


class ObjectAbsentError(BucketError):
    """A store of objects answers, and does not have what is asked for."""


class ObjectChangedError(BucketError):
    """A store of objects has another object in that place than the one that was to be replaced."""


class PublishingError(DeliveryError):
    """The trained models could not be written back to git."""


class SigningError(DeliveryError):
    """A release could not be signed."""


class DeploymentError(DeliveryError):
    """An image failed its check, or its deployment did not become healthy."""


class NotAdmittedError(DeploymentError):
    """A service does not let its examples be asked, so that nobody knows whether it is healthy."""


class AgentError(DeliveryError):
    """A server that follows releases could not do what is due; its next run tries again."""


class RegistryAwayError(AgentError):
    """Who says what is to run cannot be asked now."""


class ReleaseRefusedError(AgentError):
    """A release may not run: it is not what its digest says, or nobody trusted has signed it."""


class JobError(TreelineError):
    """A training job cannot be run here, or its files are not what they must be."""


class ArtifactError(TreelineError):
    """An artifact on disk cannot be served."""


class ArtifactNotFoundError(ArtifactError):
    """Nothing is exported under that name."""


class ArtifactRejectedError(ArtifactError):
    """The files of an artifact contradict its signature."""


class UntrustedArtifactError(ArtifactRejectedError):
    """Nobody who is trusted has signed the files of an artifact, or not as they are."""


class SignatureUncheckedError(ArtifactError):
    """Who has signed the files of an artifact cannot be found out now; it says nothing of them."""


class ServiceError(TreelineError):
    """A service did not answer a client as it was to; `status` is that of its answer, if any."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ServiceAwayError(ServiceError):
    """A service cannot be reached, or puts off what it is asked; another attempt may succeed."""


class AccessError(ServiceError):
    """A service needs an API key, or one that may do more."""


class UnknownModelError(ServiceError):
    """A service serves no model of that name."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one value: where it stands, what is wrong, and the value itself.

    `place` is such as `Soil` or `row 3: Light_ISF`; `value` is None where the value is absent;
    `admitted` lists the categories where there are some.
    """

    place: str
    message: str
    value: object = None
    admitted: tuple[str, ...] | None = None


class ProblemsError(TreelineError):
    """Several things are wrong at once; `problems` lists every one found."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{problem.place}: {problem.message}" for problem in problems))
        self.problems = problems


class InvalidInputError(ProblemsError):
    """Values given for a prediction break the signature."""


def first_line(error: Exception) -> str:
    """Return the first line of what an error says; empty where it says nothing."""
    return str(error).strip().partition("\n")[0]
