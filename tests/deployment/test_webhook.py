"""A webhook as a target: it is told the image, and what it answers decides."""

import json
from typing import Any

import pytest

from tests.answering import TensorEndpoint, answering
from treeline.deployment.webhook import Webhook
from treeline.errors import DeploymentError

IMAGE = "registry.example/treeline:sha-1"


class _Hook(TensorEndpoint):
    status: int
    received: list[tuple[str, Any]]

    def do_POST(self) -> None:
        document = json.loads(self.body())
        self.received.append((self.headers.get("Authorization", ""), document))
        self.reply(self.status, b"{}")


def test_the_image_is_posted_with_the_token() -> None:
    received: list[tuple[str, Any]] = []
    with answering(_Hook, status=202, received=received) as url:
        settings = {"DEPLOY_WEBHOOK_URL": url, "DEPLOY_WEBHOOK_TOKEN": "s3cret"}
        target = Webhook.from_settings(settings)
        target.wait_until_healthy(target.deploy(IMAGE), seconds=1, pause=1)
    assert received == [("Bearer s3cret", {"image": IMAGE})]
    assert target.running_image() is None


def test_an_answer_that_is_none_of_success_fails_the_deployment_and_tells_no_token() -> None:
    with (
        answering(_Hook, status=403, received=[]) as url,
        pytest.raises(DeploymentError, match="DEPLOY_WEBHOOK_URL: 403") as caught,
    ):
        Webhook(url, token="s3cret").deploy(IMAGE)
    assert "s3cret" not in str(caught.value)
    with pytest.raises(DeploymentError, match="no answer"):
        Webhook("http://127.0.0.1:9").deploy(IMAGE)
