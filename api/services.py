"""Settings → the services of one application: all that its routes work with, built in one place."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from api.endpoints.record import RecordEndpoint
from api.endpoints.tensors import TensorEndpoint
from api.endpoints.v2 import InferEndpoint
from api.formats.tensors import Tensor
from api.formats.v2 import Question
from api.http.auth import Guard
from api.http.bodies import Bodies
from api.http.documents import DocumentReaders
from api.http.load import Load
from api.inference.batch_pool import Drafts, Pools
from api.inference.explaining import Explaining
from api.inference.graph_pool import Graphs
from api.inference.resting import RestingStore
from api.jobs.adoption import Adopter
from api.jobs.desk import JobDesk
from api.models.catalogue import Catalogue
from api.models.exported import UNLOADED, ModelReloader, UnloadedModels, unloading_of
from api.models.fetched import FetchedModels
from api.models.registered import RegistryReloader
from api.models.registry.versions import Versions
from api.models.stored import StoredUploads
from api.models.uploaded import UploadReloader, UploadStore
from api.models.uploads import UploadFolder, UploadManager, UploadPlace
from api.models.watcher import Watcher
from api.prediction_log.log import PredictionLog, recording
from api.settings import Settings
from api.telemetry.gauges import Observed
from api.telemetry.metrics import Metrics, keeping_fresh
from treeline.artifact.store import ArtifactStore
from treeline.signing.trust import TrustedModels

Part = Callable[[], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Services:
    """What a running application has, each under its own type; what may be off is None then."""

    settings: Settings
    metrics: Metrics
    catalogue: Catalogue
    trust: TrustedModels | None
    reloader: ModelReloader
    unloading: UnloadedModels
    uploads: UploadReloader
    upload_manager: UploadManager
    fetched: FetchedModels | None
    stored: StoredUploads | None
    jobs: JobDesk | None
    registry: RegistryReloader | None
    versions: Versions
    watcher: Watcher
    guard: Guard
    load: Load
    bodies: Bodies
    log: PredictionLog | None
    reading: DocumentReaders
    pools: Pools
    graphs: Graphs
    record_endpoint: RecordEndpoint
    infer_endpoint: InferEndpoint
    tensor_endpoint: TensorEndpoint

    @property
    def desk(self) -> JobDesk:
        """The desk of training jobs; raises TypeError where none are taken."""
        if self.jobs is None:
            raise TypeError("no jobs are taken: API_JOBS is off")
        return self.jobs

    @property
    def followed(self) -> RegistryReloader:
        """The registry that is followed; raises TypeError where none is."""
        if self.registry is None:
            raise TypeError("no registry is followed: API_REGISTRY is empty")
        return self.registry

    @classmethod
    def of(cls, settings: Settings) -> "Services":
        """Build the services that settings ask for, and load the models; nothing runs yet.

        Raises ConfigError and MissingExtraError.
        """
        metrics = Metrics()
        load = Load(settings.max_requests, most_streams=settings.max_streams)
        bodies, guard = Bodies(settings, load), Guard(settings)
        log = PredictionLog(settings) if settings.prediction_log else None
        graphs, reading = Graphs(settings), DocumentReaders(settings, Question, Tensor)
        trust = TrustedModels.of(settings.trusted_signers)
        store = store_of(settings, trust)
        reloader = ModelReloader(
            settings.served_dir,
            store,
            default=settings.default_model,
            changed=metrics.swap,
            pause_seconds=settings.watch_seconds,
        )
        catalogue = reloader.catalogue
        fetched = FetchedModels(settings, reloader) if settings.models else None
        registry = (
            RegistryReloader(settings, catalogue, metrics.swap, graphs, trust=trust)
            if settings.registry
            else None
        )
        unloading = UnloadedModels(
            settings.state_dir / UNLOADED,
            reloader,
            unloading_of(settings.state_dir),
            watched=settings.watch_seconds > 0,
        )
        stored = StoredUploads(settings, catalogue) if settings.uploads == "store" else None
        store_of_uploads = UploadStore(settings.state_dir / "uploads")
        place: UploadPlace = UploadFolder(store_of_uploads, catalogue, most=settings.max_uploads)
        if stored is not None:
            store_of_uploads, place = stored.store, stored
        uploads = UploadReloader(store_of_uploads, catalogue, graphs, metrics.swap)
        followed = [source for source in (fetched, stored, registry) if source is not None]
        watcher = Watcher(unloading, uploads, reloader, *followed)
        pools = Pools.of(settings)
        explaining = Explaining(settings, pools, trust)
        return cls(
            settings=settings,
            metrics=metrics,
            catalogue=catalogue,
            trust=trust,
            reloader=reloader,
            unloading=unloading,
            uploads=uploads,
            upload_manager=UploadManager(place, uploads, settings, watcher, bodies),
            fetched=fetched,
            stored=stored,
            jobs=JobDesk(settings, bodies) if settings.jobs else None,
            registry=registry,
            versions=Versions(catalogue, registry, settings),
            watcher=watcher,
            guard=guard,
            load=load,
            bodies=bodies,
            log=log,
            reading=reading,
            pools=pools,
            graphs=graphs,
            record_endpoint=RecordEndpoint(
                bodies, guard=guard, metrics=metrics, log=log, explaining=explaining
            ),
            infer_endpoint=InferEndpoint(
                bodies, metrics=metrics, log=log, reading=reading, graphs=graphs
            ),
            tensor_endpoint=TensorEndpoint(
                bodies, guard=guard, metrics=metrics, log=log, graphs=graphs
            ),
        )

    def parts(self, around: Part) -> list[Part]:
        """Return what runs beside the requests; the log begins first, and ends last.

        `around` is what runs for all that surrounds the requests, such as traces.
        """
        log, settings = self.log, self.settings
        parts: list[Part] = [] if log is None else [lambda: recording(log)]
        parts += [
            around,
            lambda: keeping_fresh(self.metrics, self.refresh_metrics),
            lambda: self.pools.running(Drafts(settings.state_dir)),
            self.graphs.running,
            self.reading.running,
        ]
        followed = (self.stored, self.fetched, self.registry)
        parts += [source.running for source in followed if source is not None]
        parts.append(self.watcher.running)  # it needs all of them
        if self.jobs is not None:
            keep = settings.jobs_keep_inputs
            parts.append(Adopter(self.jobs.spool, self.upload_manager, keep_inputs=keep).running)
        return parts

    def store_away(self) -> str | None:
        """Return why models or uploads are not as their store names them; empty where they are.

        None where they are fetched from nowhere.
        """
        if self.fetched is None:
            return None
        reasons = [source.away() for source in (self.fetched, self.stored) if source is not None]
        return "; ".join(dict.fromkeys(reason for reason in reasons if reason))

    def refresh_metrics(self) -> None:
        """Note in the metrics what is true of this process now."""
        self.metrics.refresh(
            Observed(
                self.catalogue,
                other_versions=self.versions.loaded(),
                load=self.load,
                guard=self.guard,
                log=self.log,
                runs=self.graphs.state(),
                registry_away=None if self.registry is None else bool(self.registry.away()),
                store_away=None if self.fetched is None else bool(self.store_away()),
            )
        )


def store_of(settings: Settings, trust: TrustedModels | None) -> ArtifactStore:
    """Return the store of the models that are served, which may rest where a setting says so."""
    folder, admitted, left_out = settings.served_dir, settings.admitted, settings.leave_out
    if not settings.loaded_models:
        return ArtifactStore(folder, admitted=admitted, left_out=left_out, trust=trust)
    return RestingStore(
        folder, admitted=admitted, left_out=left_out, trust=trust, most=settings.loaded_models
    )
