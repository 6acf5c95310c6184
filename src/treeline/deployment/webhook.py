"""Any host that takes a webhook: the image is posted to it, and the endpoint says the rest."""

from collections.abc import Mapping
from typing import ClassVar, Self

from treeline.deployment.exchange import NO_ANSWER, exchange
from treeline.errors import DeploymentError


class Webhook:
    """An address that is told which image to run; what it runs now it cannot tell."""

    REQUIRED: ClassVar[tuple[str, ...]] = ("DEPLOY_WEBHOOK_URL",)

    def __init__(self, url: str, *, token: str = "") -> None:
        self._url = url
        self._secrets = {"Authorization": f"Bearer {token}"} if token else {}

    @classmethod
    def from_settings(cls, settings: Mapping[str, str]) -> Self:
        """Return the webhook of DEPLOY_WEBHOOK_URL, with DEPLOY_WEBHOOK_TOKEN where it is set."""
        token = settings.get("DEPLOY_WEBHOOK_TOKEN", "")
        return cls(settings["DEPLOY_WEBHOOK_URL"], token=token)

    def running_image(self) -> str | None:
        """Return None: a webhook only listens."""
        return None

    def deploy(self, image: str) -> str:
        """Post `{"image": …}`; raises DeploymentError unless the answer is one of success."""
        answer = exchange("POST", self._url, document={"image": image}, secrets=self._secrets)
        if answer.status in range(200, 300):
            return image
        status = "no answer" if answer.status == NO_ANSWER else str(answer.status)
        raise DeploymentError(f"DEPLOY_WEBHOOK_URL: {status}: {answer.words}")

    def wait_until_healthy(self, deployment: str, *, seconds: float, pause: float) -> None:
        """Return at once: only the endpoint can tell whether the image is served."""
