"""The service that is fuzzed: one worker, low limits, models of git and uploaded ones."""

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.http.keyring import new_key
from api.inference.images import ImageInput
from api.settings import Settings
from tests.api.uploading import publish
from tests.fuzz.cases import Request
from tests.fuzz.models import MODELS
from tests.fuzz.sending import Answer, ask
from tests.fuzz.watching import Watch, children
from tests.serving import Service, serving
from tests.tiny_models import DIABETES, IRIS, SURVIVAL, write_model

EYE = ImageInput(width=24, height=24)
PICTURED = ("eye", "cat")
MOST_LINE_BYTES, MOST_FIELD_BYTES = 4094, 8190  # of a head, as gunicorn has them
ANSWER_SECONDS = 30.0

# Low, so that a small body reaches them; a setting that this version lacks is left out.
SETTINGS: Mapping[str, str] = {
    "API_MAX_BODY_BYTES": str(1 << 20),
    "API_MAX_WHOLE_BYTES": str(4 << 20),
    "API_MAX_BATCH_BYTES": str(8 << 20),
    "API_MAX_BATCH_ROWS": "200000",
    "API_MAX_UPLOAD_BYTES": str(4 << 20),
    "API_MAX_UPLOADS": "20",
    "API_AUDIT_SECONDS": "5",
    "API_BODY_SECONDS": "5",
    "API_BATCH_SECONDS": "15",
    "API_REQUEST_MEMORY_BYTES": str(256 << 20),
    "API_RUN_SECONDS": "3",
    "API_RUN_MEMORY_BYTES": str(512 << 20),
    "API_AUDIT_MEMORY_BYTES": str(512 << 20),
    "API_LOG_LEVEL": "warning",
}


@dataclass
class Target:
    """A running service, the secrets that were planted in it, and what it answered at first."""

    service: Service
    state: Path
    key: str
    secrets: tuple[bytes, ...]
    watch: Watch
    worker: int
    statuses: Mapping[tuple[str, str], frozenset[int]] = field(default_factory=dict)
    log_bytes: int = 0

    def ask(self, request: Request, *, seconds: float = ANSWER_SECONDS) -> Answer:
        """Send a request, with the key where it says so, and return its answer."""
        key = self.key.encode()
        headers = {
            name: value.replace("{key}", self.key) for name, value in request.headers.items()
        }
        raw = None if request.raw is None else request.raw.replace(b"{key}", key)
        sent = Request(request.method, request.path, request.body, headers, raw)
        return ask(self.service.port, sent, timeout=seconds)

    def watched(self, request: Request, *, seconds: float) -> Answer:
        """Send a request while memory and event loop are watched."""
        self.watch.begin()
        try:
            return self.ask(request, seconds=seconds)
        finally:
            self.watch.end()

    def documented(self, request: Request) -> frozenset[int]:
        """Return the statuses that the service's own document names for a request.

        A head beyond the limits of the server is refused before anybody knows what it asks for.
        """
        if len(request.path) > MOST_LINE_BYTES:
            return frozenset({414})
        if max(map(len, request.headers.values()), default=0) > MOST_FIELD_BYTES:
            return frozenset({431})
        path = request.path.partition("?")[0]
        for (method, template), statuses in self.statuses.items():
            pattern = re.sub(r"\\\{[a-z_]+\\\}", "[^/]+", re.escape(template))
            if method == request.method and re.fullmatch(pattern, path):
                return statuses
        return frozenset({404, 405})

    @property
    def workers(self) -> list[int]:
        """The processes that answer."""
        return children(self.service.process.pid)

    def drafts(self) -> list[str]:
        """Return what batches and uploads have left in the state folder, or have under way."""
        batches = list((self.state / "batches").glob("*"))
        uploads = (self.state / "uploads").glob("**/.*")
        drafts = [each for each in uploads if each.is_file() and each.name != ".lock"]
        return [str(each.relative_to(self.state)) for each in (*batches, *drafts)]

    def new_log(self) -> bytes:
        """Return what the service has logged since the last time."""
        with self.service.log.open("rb") as file:
            file.seek(self.log_bytes)
            text = file.read()
        self.log_bytes += len(text)
        return text


@contextmanager
def fuzzed(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[Target]:
    """Start the service over its models in a folder, and upload those that are sent to it."""
    models, state = folder / "models", folder / "state"
    for recipe in (SURVIVAL, IRIS, DIABETES):
        if not (models / recipe.name).exists():
            write_model(models, recipe)
    publish_models(state)
    key, line = new_key("fuzz")
    planted = {name: f"planted-{secrets.token_hex(16)}" for name in PLANTED}
    known = {f"API_{name.upper()}" for name in Settings.model_fields}
    own = {name: value for name, value in SETTINGS.items() if name in known}
    environment = {
        **own,
        **planted,
        "API_KEYS": line,
        "API_STATE_DIR": str(state),
        "WEB_CONCURRENCY": "1",
        **(settings or {}),
    }
    hidden = (key.encode(), line.rpartition(":")[2].encode(), *map(str.encode, planted.values()))
    log = folder / f"log-{secrets.token_hex(4)}.txt"
    with serving(models, log, **environment) as service:
        (worker,) = children(service.process.pid)
        with Watch(service.process.pid, worker, service.port) as watch:
            target = Target(service, state, key, hidden, watch, worker)
            target.statuses = documented(target)
            target.new_log()
            yield target


PLANTED = ("AWS_SECRET_ACCESS_KEY", "DVC_REMOTE_URL", "TREELINE_PLANTED")


def publish_models(state: Path) -> None:
    """Put models into the store of uploads, as another process does after their trials."""
    for name, make in MODELS.items():
        publish(state, name, make(), EYE if name in PICTURED else None)


def documented(target: Target) -> dict[tuple[str, str], frozenset[int]]:
    """Return the statuses by method and path, as the OpenAPI document has them."""
    document: dict[str, Any] = json.loads(target.ask(Request("GET", "/openapi.json")).body)
    return {
        (method.upper(), path): frozenset(map(int, operation["responses"]))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
