"""Koyeb's REST API: one service there, asked what it runs, told to run an image, waited for."""

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar, Self
from urllib.parse import quote

from treeline.deployment.exchange import NO_ANSWER, Answer, exchange
from treeline.errors import DeploymentError

API = "https://app.koyeb.com"
HEALTHY = "HEALTHY"
FAILED = frozenset({"CANCELED", "DEGRADED", "ERROR", "ERRORING", "STOPPED", "UNHEALTHY"})
ATTEMPTS = 4
FIRST_PAUSE_SECONDS = 1.0  # doubled before each further attempt
POLL_SECONDS = 5.0
MAY_PASS = frozenset({NO_ANSWER, HTTPStatus.TOO_MANY_REQUESTS})  # and every answer above 499
TELLING = "message"  # the key under which Koyeb says what is wrong


class KoyebService:
    """One service on Koyeb, whose source is a Docker image."""

    REQUIRED: ClassVar[tuple[str, ...]] = ("KOYEB_TOKEN", "KOYEB_SERVICE")

    @classmethod
    def from_settings(cls, settings: Mapping[str, str]) -> Self:
        """Return the service that KOYEB_… name."""
        service, token = settings["KOYEB_SERVICE"], settings["KOYEB_TOKEN"]
        return cls(service, token=token, api=settings.get("KOYEB_API", "") or API)

    def __init__(
        self,
        service_id: str,
        *,
        token: str,
        api: str = API,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
    ) -> None:
        self._path = f"/v1/services/{quote(service_id, safe='')}"
        self._token = token
        self._api = api.rstrip("/")
        self._first_pause_seconds = first_pause_seconds

    def running_image(self) -> str | None:
        """Return the image that is served now, or None where Koyeb does not say.

        Raises DeploymentError.
        """
        definition = self._definition("active_deployment_id", "latest_deployment_id")
        source = definition.get("docker")
        return (source.get("image") or None) if isinstance(source, dict) else None

    def deploy(self, image: str) -> str:
        """Have the service run `image`, defined as before otherwise; return the deployment's id.

        Raises DeploymentError.
        """
        definition = self._definition("latest_deployment_id")
        source = definition.get("docker") or {}
        changed = {"definition": {**definition, "docker": {**source, "image": image}}}
        answer = self._ask("PATCH", self._path, document=changed)
        deployment = answer.member("service", "latest_deployment_id") or answer.member(
            "deployment", "id"
        )
        if not deployment:
            raise DeploymentError(f"Koyeb took {image} and named no deployment to wait for")
        return str(deployment)

    def status(self, deployment: str) -> str:
        """Return the status of a deployment, such as HEALTHY; raises DeploymentError."""
        return str(self._get(_path_of(deployment)).member("deployment", "status"))

    def wait_until_healthy(
        self, deployment: str, *, seconds: float, pause: float = POLL_SECONDS
    ) -> None:
        """Ask every `pause` seconds until a deployment is healthy, printing each new status.

        Raises DeploymentError as soon as it has failed, and after `seconds`.
        """
        deadline, before = time.monotonic() + seconds, ""
        while (status := self.status(deployment)) != HEALTHY:
            if status != before:
                print(f"Koyeb: deployment {deployment}: {status}", flush=True)
            if status in FAILED:
                raise DeploymentError(f"Koyeb: deployment {deployment} ended as {status}")
            if time.monotonic() + pause > deadline:
                raise DeploymentError(
                    f"Koyeb: deployment {deployment} is still {status} after {seconds:g} seconds"
                )
            before = status
            time.sleep(pause)
        print(f"Koyeb: deployment {deployment}: {HEALTHY}", flush=True)

    def _definition(self, *keys: str) -> dict[str, Any]:
        """Return how the first deployment the service names under `keys` is defined, or {}."""
        service = self._get(self._path)
        named = [each for key in keys if (each := service.member("service", key))]
        if not named:
            return {}
        definition = self._get(_path_of(str(named[0]))).member("deployment", "definition")
        return definition if isinstance(definition, dict) else {}

    def _get(self, path: str) -> Answer:
        """Ask for a document, again where what is wrong may pass; raises DeploymentError."""
        pause = self._first_pause_seconds
        for _ in range(ATTEMPTS - 1):
            answer = self._exchange("GET", path)
            if answer.status not in MAY_PASS and answer.status < 500:
                break
            time.sleep(pause)
            pause *= 2
        else:
            answer = self._exchange("GET", path)
        return self._good(answer, f"GET {path}")

    def _ask(self, method: str, path: str, *, document: Any) -> Answer:
        """Send a document once: what changes something is not repeated. Raises DeploymentError."""
        return self._good(self._exchange(method, path, document=document), f"{method} {path}")

    def _exchange(self, method: str, path: str, *, document: Any = None) -> Answer:
        secrets = {"Authorization": f"Bearer {self._token}"}
        return exchange(method, self._api + path, document=document, secrets=secrets)

    def _good(self, answer: Answer, request: str) -> Answer:
        if answer.status in range(200, 300) and isinstance(answer.document, dict):
            return answer
        if answer.status == NO_ANSWER:
            fault = f"cannot be reached: {answer.words}"
        else:
            words = [answer.words, str(answer.member(TELLING) or "")]
            fault = f"answered {answer.status} {': '.join(word for word in words if word)}"
        if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            fault += "; look at KOYEB_TOKEN"
        if answer.status == HTTPStatus.NOT_FOUND:
            fault += "; look at KOYEB_SERVICE, the id of the service"
        raise DeploymentError(f"Koyeb: {request}: {fault}".replace(self._token, "***"))


def _path_of(deployment: str) -> str:
    return f"/v1/deployments/{quote(deployment, safe='')}"
