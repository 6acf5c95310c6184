"""A stand-in for Koyeb that speaks its REST API, over statuses from a script or real containers."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from tests.answering import TensorEndpoint, answering
from tests.hosting import Containers, hosting

TOKEN = "token-of-the-stand-in"
SERVICE = "5e41ce00"
SCRIPT = ("PENDING", "STARTING", "HEALTHY")


class Deployment:
    """One deployment: how it is defined, and the statuses that are told one after the other."""

    def __init__(self, definition: dict[str, Any], statuses: Sequence[str]) -> None:
        self.id = uuid4().hex
        self.definition = definition
        self.statuses = list(statuses)  # the last one stays

    @property
    def image(self) -> str:
        """The image it runs."""
        return str(self.definition["docker"]["image"])

    def look(self) -> str:
        """Return the status, and go on to the next."""
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]


class Koyeb:
    """One service, what has been deployed to it, and where its API answers.

    `troubles` are statuses that the next GETs are answered with; `requests` are those received.
    """

    def __init__(self, *, scripts: Mapping[str, Sequence[str]] | None = None) -> None:
        self.scripts = dict(scripts or {})
        self.url = ""
        self.deployments: dict[str, Deployment] = {}
        self.active: Deployment | None = None
        self.latest: Deployment | None = None
        self.troubles: list[int] = []
        self.requests: list[str] = []

    def images(self) -> list[str]:
        """Return the images deployed so far, in order."""
        return [deployment.image for deployment in self.deployments.values()]

    def ran_before(self, image: str, **definition: Any) -> None:
        """Have an image run already, defined by more than its name."""
        known = {**definition, "docker": {**definition.get("docker", {}), "image": image}}
        self.active = self._add(Deployment(known, ["HEALTHY"]))

    def deploy(self, definition: dict[str, Any]) -> Deployment:
        """Begin a deployment as the API was asked to."""
        deployment = Deployment(definition, ())
        deployment.statuses = list(self.scripts.get(deployment.image, SCRIPT))
        return self._add(deployment)

    def look(self, deployment: Deployment) -> str:
        """Return the status of a deployment; a healthy one is the active one from then on."""
        status = deployment.look()
        if status == "HEALTHY":
            self.active = deployment
        return status

    def _add(self, deployment: Deployment) -> Deployment:
        self.deployments[deployment.id] = self.latest = deployment
        return deployment


class Running(Koyeb):
    """A Koyeb that runs what it is told to: `endpoint` leads to the container in service."""

    def __init__(self, containers: Containers, endpoint: str) -> None:
        super().__init__()
        self.endpoint = endpoint
        self._containers = containers
        self._threads: list[threading.Thread] = []

    def deploy(self, definition: dict[str, Any]) -> Deployment:
        """Start the image in a container, while the former one goes on."""
        deployment = self._add(Deployment(definition, ["STARTING"]))
        thread = threading.Thread(target=self._start, args=(deployment,))
        self._threads.append(thread)
        thread.start()
        return deployment

    def end(self) -> None:
        """Wait for what is being started."""
        for thread in self._threads:
            thread.join()

    def _start(self, deployment: Deployment) -> None:
        ready = self._containers.run(deployment.image)
        deployment.statuses = ["HEALTHY" if ready else "UNHEALTHY"]


class _Api(TensorEndpoint):
    koyeb: Koyeb

    def do_GET(self) -> None:
        self._answer(b"")

    def do_PATCH(self) -> None:
        self._answer(self.body())

    def _answer(self, body: bytes) -> None:
        self.koyeb.requests.append(f"{self.command} {self.path}")
        status, document = self._found(body)
        self.reply(status, json.dumps(document).encode())

    def _found(self, body: bytes) -> tuple[int, dict[str, Any]]:
        koyeb = self.koyeb
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            told = f"Invalid or expired token: {self.headers.get('Authorization')}"
            return 401, {"status": 401, "code": "unauthenticated", "message": told}
        if self.command == "GET" and koyeb.troubles:
            return koyeb.troubles.pop(0), {"message": "come again"}
        if self.path == f"/v1/services/{SERVICE}":
            if self.command == "PATCH":
                koyeb.deploy(json.loads(body)["definition"])
            ids = {"active_deployment_id": koyeb.active, "latest_deployment_id": koyeb.latest}
            known = {key: found.id if found else "" for key, found in ids.items()}
            return 200, {"service": {"id": SERVICE, "name": "treeline", **known}}
        if found := koyeb.deployments.get(self.path.removeprefix("/v1/deployments/")):
            state = {"id": found.id, "status": koyeb.look(found), "definition": found.definition}
            return 200, {"deployment": state}
        return 404, {"status": 404, "code": "not_found", "message": "not found"}


@contextmanager
def scripted(scripts: Mapping[str, Sequence[str]] | None = None) -> Iterator[Koyeb]:
    """Give a Koyeb whose deployments have, by image, these statuses; healthy soon without any."""
    koyeb = Koyeb(scripts=scripts)
    with answering(_Api, koyeb=koyeb) as koyeb.url:
        yield koyeb


@contextmanager
def real() -> Iterator[Running]:
    """Give a Koyeb that runs containers on this machine, and remove them afterwards."""
    with hosting() as (containers, endpoint):
        koyeb = Running(containers, endpoint)
        with answering(_Api, koyeb=koyeb) as koyeb.url:
            try:
                yield koyeb
            finally:
                koyeb.end()
