"""Environment variables `API_…` → frozen settings, each limit with a safe default."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def _listed(given: object) -> object:
    """Return the items of a text such as `a, b`; anything else as it is."""
    if isinstance(given, str):
        return tuple(item.strip() for item in given.split(",") if item.strip())
    return given


Listed = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]
FETCHED = Path("models/served")  # below the state folder: a link, so that its path stays the same
Count = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(ge=0)]


class Settings(BaseSettings):
    """What an operator can set; the variable is the name in capitals after `API_`.

    A variable that is empty is not set: a compose file passes those that nobody sets as empty ones.
    """

    model_config = SettingsConfigDict(env_prefix="API_", env_ignore_empty=True, frozen=True)

    model_dir: Path = Path("model")
    """Folder whose subfolders hold the exported models; only read."""

    models: str = ""
    """Where models are fetched from instead, such as `s3://bucket/prefix`; empty: from nowhere.
    Credentials are in the environment, such as AWS_ACCESS_KEY_ID (docs/model-store.md)."""

    models_named: Listed = ()
    """Which of them are fetched, by name, where `*` stands for any letters; none named: all."""

    models_seconds: Annotated[float, Field(gt=0)] = 10
    """How often the store of models is asked what it names."""

    uploads: Literal["folder", "store"] = "folder"
    """Where uploaded models live: in the state folder, or in that store of models, where all
    replicas that fetch from it serve them (docs/model-store.md)."""

    uploads_secret: SecretStr = SecretStr("")
    """What only the services that share such uploads know: what is served of them must be sealed
    by it. Needed with API_TRUSTED_SIGNERS."""

    leave_out: Listed = ()
    """Models of that folder that are not served, such as those that are declared no more."""

    default_model: str | None = None
    """The model behind `/v1/predict`; unset: the one declared default, or else the only one."""

    allow_pickle: bool = False
    """Whether models that are pickles are loaded too. Loading a pickle runs code."""

    allow_h2o: bool = False
    """Whether models of H2O are loaded too: they start a JVM. Loading one can run code."""

    trusted_signers: str = ""
    """Whose signature a release must have for its models to be opened: the path of a file of public
    keys or signers, or what stands in it; empty: nobody's (docs/signing.md)."""

    watch_seconds: Seconds = 5
    """How often the models on disk are looked at for changes; 0: never."""

    loaded_models: Annotated[int, Field(ge=0)] = 0
    """How many models of that folder each worker holds in memory, those asked last; the others are
    loaded again when they are asked. 0: all of them."""

    state_dir: Path = Path(".treeline")
    """Folder the service writes to: prediction log, uploaded models, batches under way."""

    max_body_bytes: Count = 1 << 20
    """The largest request body that is read; one record takes a few hundred bytes."""

    body_seconds: Annotated[float, Field(gt=0)] = 20
    """How long the service waits for a body that does not come (408)."""

    body_bytes_per_second: Count = 16 << 10
    """How fast a body must come, at least, to be waited for longer."""

    bodies_bytes: Count = 256 << 20
    """How much all connections of a worker may hold in memory of bodies that come by and by."""

    max_streams: Count = 64
    """How many bodies a worker reads at once that are never in memory: batches and uploads."""

    max_batch_bytes: Count = 1 << 30
    """The largest body of a batch; it is never in memory as a whole."""

    max_batch_rows: Count = 10_000_000
    """The most rows one batch may have."""

    max_whole_bytes: Count = 64 << 20
    """The largest body of a batch in a format that must be read as a whole, such as one JSON."""

    batch_processes: Count = 2
    """How many processes beside each worker compute its batches: one, and more once it is busy."""

    batch_seconds: Annotated[float, Field(gt=0)] = 600
    """How long a batch may take, from the first byte of its body to the last of its answer."""

    max_explained_rows: Annotated[int, Field(ge=0)] = 1000
    """The most rows of a batch whose answers are explained; 0: nothing is explained at all."""

    explain_seconds: Annotated[float, Field(gt=0)] = 10
    """How long the explanation of a single record may take."""

    request_memory_bytes: Count = 512 << 20
    """How much memory a process that reads a batch may take beside its libraries."""

    max_requests: Count = 1000
    """How many requests a worker process has under way; more are told to come back (503)."""

    keys: SecretStr = SecretStr("")
    """API keys as `name:sha256:…`, separated by commas; `python -m api.keys NAME` makes one."""

    keys_file: Path | None = None
    """File with one such key a line; it is read again when it changes."""

    predictions_open: bool = True
    """Whether predictions are answered without a key."""

    requests_per_second: Seconds = 0
    """How many requests a second each key, or each address without one, may make; 0: any."""

    allowed_hosts: Listed = ()
    """Names by which the service may be called, as `tree.example` or `*.tree.example`, separated by
    commas; none: any. Whatever it is called by, no answer repeats it."""

    cors_origins: Listed = ()
    """Origins whose pages may call the service, separated by commas; none by default."""

    prediction_log: bool = True
    """Whether every prediction that is answered is recorded."""

    prediction_log_url: SecretStr | None = None
    """SQLAlchemy URL of the log's database; unset: SQLite in the state folder."""

    prediction_log_retention_days: Seconds = 90
    """How long predictions are kept; 0: for ever."""

    prediction_log_export_seconds: Annotated[float, Field(gt=0)] = 60
    """How long the database may take for a page of an export."""

    prediction_log_redact: Listed = ()
    """Features that are not recorded: `Soil` of every model, or `tree-survival.Soil` of one."""

    prediction_log_spool_bytes: Count = 8 << 30
    """How much may wait on disk while the database is away; what comes after is lost, loudly."""

    max_upload_bytes: Count = 256 << 20
    """The largest ONNX file that may be uploaded."""

    max_uploads: Count = 100
    """The most models that may be uploaded."""

    audit_seconds: Annotated[float, Field(gt=0)] = 60
    """How long the trial of an uploaded model may take."""

    audit_memory_bytes: Count = 2 << 30
    """How much memory the trial of an uploaded model may take."""

    run_seconds: Annotated[float, Field(gt=0)] = 10
    """How long one run of an uploaded model, or of one of a registry, may take."""

    run_memory_bytes: Count = 2 << 30
    """How much memory such a run, and the models loaded beside it, may take."""

    run_processes: Count = 2
    """How many processes beside each worker run such models; each model always in the same one."""

    jobs: bool = False
    """Whether training jobs are taken (docs/jobs.md); a runner beside the service runs them."""

    jobs_dir: Path | None = None
    """Folder that jobs are written to, which a runner reads; unset: `jobs` in the state folder."""

    max_job_bytes: Count = 64 << 20
    """The largest body of a job: its table, and its script or declaration."""

    jobs_waiting: Count = 20
    """How many jobs may be queued and running, of all keys."""

    jobs_per_key: Count = 3
    """How many of them may be of the keys of one name."""

    jobs_ended: Count = 100
    """How many jobs that have ended can still be read, with their logs."""

    jobs_keep_inputs: bool = False
    """Whether what was sent for a job stays as long as the job, and not only until it ends."""

    registry: Listed = ()
    """What is served of an MLflow registry, separated by commas: an alias such as `champion`, for
    every model that has it, or `models:/NAME@ALIAS`. MLFLOW_TRACKING_URI says where it is."""

    registry_seconds: Annotated[float, Field(gt=0)] = 5
    """How often the registry is asked what it names."""

    registry_versions: Annotated[int, Field(ge=0)] = 4
    """How many versions beside those that are named are kept loaded, by each worker."""

    registry_wait_seconds: Seconds = 20
    """How long a request waits for a version that must be fetched first; then 503."""

    log_format: Literal["text", "json"] = "text"
    """How the service writes what it has to say on standard error."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """From which level on."""

    @property
    def served_dir(self) -> Path:
        """The folder whose models are served: the one given, or that of what is fetched."""
        return self.state_dir.absolute() / FETCHED if self.models else self.model_dir

    @property
    def admitted(self) -> frozenset[str]:
        """The runtimes whose models are loaded."""
        extra = {"h2o": self.allow_h2o, "pickle": self.allow_pickle}
        return frozenset({"onnx"} | {name for name, allowed in extra.items() if allowed})
