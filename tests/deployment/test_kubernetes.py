"""Kubernetes as a target: the real kubectl against an API server that has one Deployment."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.answering import TensorEndpoint, answering
from tests.checkout import ROOT
from treeline.deployment import targets
from treeline.deployment.deploying import Limits, deploy
from treeline.deployment.kubernetes import KubernetesDeployment
from treeline.errors import DeploymentError

OLD, NEW = "registry.example/treeline:sha-1", "registry.example/treeline:sha-2"
APPS = "/apis/apps/v1"
PLACE = f"{APPS}/namespaces/forest/deployments"
MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: treeline, namespace: forest}
spec:
  replicas: 2
  selector: {matchLabels: {app: treeline}}
  template:
    metadata: {labels: {app: treeline}}
    spec: {containers: [{name: api, image: registry.example/treeline}]}
"""


VALIDATED = {  # kubectl leaves it to the server then
    "parameters": [{"name": "fieldValidation", "in": "query"}],
    "x-kubernetes-group-version-kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
}


@dataclass
class Cluster:
    """One Deployment, the images that it was given, and those of them that never start."""

    document: dict[str, Any] = field(default_factory=dict)
    images: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

    def put(self, document: dict[str, Any]) -> None:
        self.document = document
        [container] = document["spec"]["template"]["spec"]["containers"]
        self.images.append(container["image"])
        document["metadata"] |= {
            "name": "treeline", "namespace": "forest", "uid": "1",
            "generation": len(self.images), "resourceVersion": str(len(self.images)),
        }  # fmt: skip
        conditions = []
        replicas = document["spec"].get("replicas", 1)
        started = 0 if container["image"] in self.broken else replicas
        if not started:
            conditions.append({"type": "Progressing", "reason": "ProgressDeadlineExceeded"})
        document["status"] = {
            "observedGeneration": len(self.images), "replicas": replicas,
            "updatedReplicas": replicas, "availableReplicas": started, "conditions": conditions,
        }  # fmt: skip


class _Api(TensorEndpoint):
    cluster: Cluster

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        resource = {
            "name": "deployments", "singularName": "deployment", "namespaced": True,
            "kind": "Deployment", "verbs": ["get", "list", "watch", "patch", "create"],
        }  # fmt: skip
        known: dict[str, dict[str, Any]] = {
            "/version": {"major": "1", "minor": "32"},
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
            "/apis": {"kind": "APIGroupList", "groups": [_group()]},
            APPS: {
                "kind": "APIResourceList", "groupVersion": "apps/v1", "resources": [resource],
            },
        }  # fmt: skip
        known |= {
            "/openapi/v3": {"paths": {"apis/apps/v1": {"serverRelativeURL": f"/openapi/v3{APPS}"}}},
            f"/openapi/v3{APPS}": {"openapi": "3.0.0", "paths": {PLACE: {"patch": VALIDATED}}},
        }
        if path in known:
            self.answer(200, known[path])
        elif path == PLACE and "watch" in query:
            event = {"type": "ADDED", "object": self.cluster.document}
            self.reply(200, json.dumps(event).encode() + b"\n")
        elif path == PLACE:
            items = [self.cluster.document] if self.cluster.document else []
            listed = {"kind": "DeploymentList", "apiVersion": "apps/v1", "items": items}
            self.answer(200, {**listed, "metadata": {"resourceVersion": "1"}})
        elif path == f"{PLACE}/treeline" and self.cluster.document:
            self.answer(200, self.cluster.document)
        else:
            self.answer(
                404, {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}
            )

    def do_POST(self) -> None:
        self.cluster.put(json.loads(self.body()))
        self.answer(201, self.cluster.document)

    def do_PATCH(self) -> None:
        """Merge what changed: the image of the one container is all that is ever sent."""
        change = json.loads(self.body())
        document = json.loads(json.dumps(self.cluster.document))
        [container] = change["spec"]["template"]["spec"]["containers"]
        document["spec"]["template"]["spec"]["containers"][0] |= {"image": container["image"]}
        self.cluster.put(document)
        self.answer(200, self.cluster.document)

    def answer(self, status: int, document: dict[str, Any]) -> None:
        self.reply(status, json.dumps(document).encode())


def _group() -> dict[str, Any]:
    version = {"groupVersion": "apps/v1", "version": "v1"}
    return {"name": "apps", "versions": [version], "preferredVersion": version}


@pytest.fixture
def cluster() -> Cluster:
    if shutil.which("kubectl") is None:
        pytest.skip("needs kubectl")
    return Cluster()


@pytest.fixture
def settings(cluster: Cluster, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What the environment names, with kubectl's configuration in it."""
    with answering(_Api, cluster=cluster) as url:
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {"server": url}}],
            "users": [{"name": "it", "user": {"token": "s3cret"}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        }  # fmt: skip
        yield {
            "KUBE_DEPLOYMENT": "treeline",
            "KUBE_NAMESPACE": "forest",
            "KUBE_CONFIG_DATA": json.dumps(config),
        }


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "deployment.yaml").write_text(MANIFEST)
    (folder / "kustomization.yaml").write_text("resources: [deployment.yaml]\n")
    return folder


def deployed(settings: dict[str, str], image: str) -> str | None:
    target = KubernetesDeployment.from_settings(settings)
    limits = Limits(healthy_seconds=20, pause_seconds=0.1)
    return deploy(target, image, fallback=None, endpoint=None, limits=limits)


def test_manifests_are_applied_with_the_image_and_the_rollout_is_waited_for(
    cluster: Cluster, settings: dict[str, str], manifests: Path
) -> None:
    settings["KUBE_MANIFESTS"] = str(manifests)
    assert deployed(settings, OLD) is None
    assert deployed(settings, NEW) == OLD
    assert cluster.images == [OLD, NEW]
    by_digest = f"registry.example/treeline@sha256:{'0' * 64}"
    assert deployed(settings, by_digest) == NEW and cluster.images[-1] == by_digest


def test_an_image_whose_rollout_fails_is_replaced_by_the_former(
    cluster: Cluster, settings: dict[str, str], manifests: Path
) -> None:
    deployed({**settings, "KUBE_MANIFESTS": str(manifests)}, OLD)
    cluster.broken.add(NEW)
    with pytest.raises(DeploymentError) as caught:
        deployed(settings, NEW)
    assert str(caught.value).endswith(f"{OLD} is back and healthy.")
    assert cluster.images == [OLD, NEW, OLD]
    assert "s3cret" not in str(caught.value)


def test_a_container_that_is_not_there_is_told_with_those_that_are(
    settings: dict[str, str], manifests: Path
) -> None:
    deployed({**settings, "KUBE_MANIFESTS": str(manifests)}, OLD)
    with pytest.raises(DeploymentError, match=r"no container 'web'; it has api"):
        deployed({**settings, "KUBE_CONTAINER": "web"}, NEW)


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("image", [NEW, f"registry.example/treeline@sha256:{'1' * 64}"])
def test_the_manifests_of_this_project_get_the_image(image: str) -> None:
    home = ROOT / "deploy/kubernetes/overlays/home"
    text = KubernetesDeployment("treeline", manifests=str(home)).rendered(image)
    [document] = [
        each for each in YAML(typ="safe").load_all(text) if each and each["kind"] == "Deployment"
    ]
    [container] = document["spec"]["template"]["spec"]["containers"]
    assert (container["name"], container["image"]) == ("api", image)


def test_every_target_of_the_table_names_what_it_needs() -> None:
    for name in targets.TARGETS:
        chosen, target = targets.chosen({"DEPLOY_TO": name})
        assert chosen == name
        assert targets.lacking(target, {}) == list(target.REQUIRED) != []
    assert targets.chosen({})[0] == "koyeb"
