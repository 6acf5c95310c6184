"""A Deployment of Kubernetes, by `kubectl`: its image set or its manifests applied, its rollout.

The decisions are kubectl's exit codes and JSON. Its own configuration says which cluster it is.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Self

from treeline.delivery.processes import run
from treeline.errors import DeploymentError

CONTAINER = "api"  # as deploy/kubernetes calls it
IMAGE = "registry.example/treeline"  # that stands there in the place of the real one


@dataclass(frozen=True)
class KubernetesDeployment:
    """One Deployment in a namespace of a cluster.

    With `manifests`, a folder with a kustomization, these are applied with the image put in the
    place of the `stand_in`; without, only the image of the container is set.
    """

    REQUIRED: ClassVar[tuple[str, ...]] = ("KUBE_DEPLOYMENT",)

    name: str
    namespace: str = ""
    container: str = CONTAINER
    manifests: str = ""
    stand_in: str = IMAGE
    config: str = field(default="", repr=False)

    @property
    def _resource(self) -> str:
        return f"deployment/{self.name}"

    @classmethod
    def from_settings(cls, settings: Mapping[str, str]) -> Self:
        """Return the Deployment that KUBE_… name; KUBE_CONFIG_DATA is what kubectl reads."""
        return cls(
            settings["KUBE_DEPLOYMENT"],
            namespace=settings.get("KUBE_NAMESPACE", ""),
            container=settings.get("KUBE_CONTAINER", "") or CONTAINER,
            manifests=settings.get("KUBE_MANIFESTS", ""),
            stand_in=settings.get("KUBE_IMAGE", "") or IMAGE,
            config=settings.get("KUBE_CONFIG_DATA", ""),
        )

    def running_image(self) -> str | None:
        """Return the image of the Deployment, None before it is there; raises DeploymentError."""
        text = self._kubectl("get", self._resource, "--ignore-not-found", "--output", "json")
        if not text.strip():
            return None
        containers = json.loads(text)["spec"]["template"]["spec"]["containers"]
        images = {each["name"]: each["image"] for each in containers}
        if self.container not in images:
            raise DeploymentError(
                f"KUBE_CONTAINER: {self._resource} has no container {self.container!r}; it has "
                + ", ".join(images)
            )
        return str(images[self.container])

    def deploy(self, image: str) -> str:
        """Apply the manifests with the image, or set it; return the generation that is rolled out.

        Raises DeploymentError.
        """
        if not self.manifests:
            self._kubectl("set", "image", self._resource, f"{self.container}={image}")
        else:
            self._kubectl("apply", "--filename", "-", given=self.rendered(image))
        state = json.loads(self._kubectl("get", self._resource, "--output", "json"))
        return str(state["metadata"]["generation"])

    def wait_until_healthy(self, deployment: str, *, seconds: float, pause: float) -> None:
        """Wait until the rollout is complete; raises DeploymentError when it is not by then.

        `kubectl` watches it, so that there is no `pause`, and fails at once where the Deployment
        has passed its own deadline.
        """
        status = ("rollout", "status", self._resource, f"--timeout={max(1, round(seconds))}s")
        print(self._kubectl(*status).strip(), flush=True)

    def rendered(self, image: str) -> str:
        """Return the manifests with the image in them, as YAML; raises DeploymentError."""
        manifests = Path(self.manifests)
        if not self.manifests or not manifests.is_dir():
            raise DeploymentError(f"KUBE_MANIFESTS: {manifests} is no folder with a kustomization")
        with TemporaryDirectory() as folder:
            base = os.path.relpath(manifests.resolve(), Path(folder).resolve())
            named = {"name": self.stand_in, **_parts(image)}
            overlay = {"resources": [base], "images": [named]}
            Path(folder, "kustomization.yaml").write_text(json.dumps(overlay), encoding="utf-8")
            return run("kubectl", "kustomize", folder, error=DeploymentError)

    def _kubectl(self, *arguments: str, given: str | None = None) -> str:
        with TemporaryDirectory() as folder:
            environment = {}
            if self.config:
                path = Path(folder, "config")
                path.touch(mode=0o600)
                path.write_text(self.config, encoding="utf-8")
                environment["KUBECONFIG"] = str(path)
            namespace = ("--namespace", self.namespace) if self.namespace else ()
            command = ("kubectl", *namespace, *arguments)
            return run(*command, env=environment, given=given, error=DeploymentError)


def _parts(image: str) -> dict[str, str]:
    """Return the name of an image and its tag or digest, as a kustomization has them."""
    name, _, digest = image.partition("@")
    if digest:
        return {"newName": name, "digest": digest}
    name, _, tag = image.rpartition(":")
    return {"newName": name, "newTag": tag}
