"""A Deployment of Kubernetes, by `kubectl`: its image set or its manifests applied, its rollout.

The decisions are kubectl's exit codes and JSON. Its own configuration says which cluster it is.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from treeline.delivery.processes import run
from treeline.errors import DeploymentError

CONTAINER = "treeline"  # the container, and the image in manifests, unless it is named


class KubernetesDeployment:
    """One Deployment in a namespace of a cluster.

    With `manifests`, a folder with a kustomization, these are applied with the image put in the
    place of theirs; without, only the image of the container is set.
    """

    REQUIRED: tuple[str, ...] = ("KUBE_DEPLOYMENT",)

    def __init__(
        self,
        name: str,
        *,
        namespace: str = "",
        container: str = CONTAINER,
        manifests: str = "",
        config: str = "",
    ) -> None:
        self._resource = f"deployment/{name}"
        self._namespace = ("--namespace", namespace) if namespace else ()
        self._container = container
        self._manifests = Path(manifests) if manifests else None
        self._config = config

    @classmethod
    def from_settings(cls, settings: Mapping[str, str]) -> Self:
        """Return the Deployment that KUBE_… name; KUBE_CONFIG_DATA is what kubectl reads."""
        return cls(
            settings["KUBE_DEPLOYMENT"],
            namespace=settings.get("KUBE_NAMESPACE", ""),
            container=settings.get("KUBE_CONTAINER", "") or CONTAINER,
            manifests=settings.get("KUBE_MANIFESTS", ""),
            config=settings.get("KUBE_CONFIG_DATA", ""),
        )

    def running_image(self) -> str | None:
        """Return the image of the Deployment, None before it is there; raises DeploymentError."""
        text = self._kubectl("get", self._resource, "--ignore-not-found", "--output", "json")
        if not text.strip():
            return None
        containers = json.loads(text)["spec"]["template"]["spec"]["containers"]
        images = {each["name"]: each["image"] for each in containers}
        if self._container not in images:
            raise DeploymentError(
                f"KUBE_CONTAINER: {self._resource} has no container {self._container!r}; it has "
                + ", ".join(images)
            )
        return str(images[self._container])

    def deploy(self, image: str) -> str:
        """Apply the manifests with the image, or set it; return the generation that is rolled out.

        Raises DeploymentError.
        """
        if self._manifests is None:
            self._kubectl("set", "image", self._resource, f"{self._container}={image}")
        else:
            self._apply(self._manifests, image)
        state = json.loads(self._kubectl("get", self._resource, "--output", "json"))
        return str(state["metadata"]["generation"])

    def wait_until_healthy(self, deployment: str, *, seconds: float, pause: float) -> None:
        """Wait until the rollout is complete; raises DeploymentError when it is not by then.

        `kubectl` watches it, so that there is no `pause`, and fails at once where the Deployment
        has passed its own deadline.
        """
        status = ("rollout", "status", self._resource, f"--timeout={max(1, round(seconds))}s")
        print(self._kubectl(*status).strip(), flush=True)

    def _apply(self, manifests: Path, image: str) -> None:
        """Apply the manifests through an overlay that names the image."""
        if not manifests.is_dir():
            raise DeploymentError(f"KUBE_MANIFESTS: {manifests} is no folder with a kustomization")
        named: dict[str, Any] = {"name": self._container, **_parts(image)}
        with TemporaryDirectory() as folder:
            base = os.path.relpath(manifests.resolve(), Path(folder).resolve())
            overlay = {"resources": [base], "images": [named]}
            Path(folder, "kustomization.yaml").write_text(json.dumps(overlay), encoding="utf-8")
            self._kubectl("apply", "--kustomize", folder)

    def _kubectl(self, *arguments: str) -> str:
        with TemporaryDirectory() as folder:
            environment = {}
            if self._config:
                path = Path(folder, "config")
                path.touch(mode=0o600)
                path.write_text(self._config, encoding="utf-8")
                environment["KUBECONFIG"] = str(path)
            command = ("kubectl", *self._namespace, *arguments)
            return run(*command, env=environment, error=DeploymentError)


def _parts(image: str) -> dict[str, str]:
    """Return the name of an image and its tag or digest, as a kustomization has them."""
    name, _, digest = image.partition("@")
    if digest:
        return {"newName": name, "digest": digest}
    name, _, tag = image.rpartition(":")
    return {"newName": name, "newTag": tag}
