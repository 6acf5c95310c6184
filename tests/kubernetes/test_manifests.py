"""What deploy/kubernetes declares: valid for current versions, and careful."""

import re
import shutil
import subprocess
from functools import cache
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from api.settings import Settings
from tests.serving import ROOT
from treeline.cli.delivery import monitor

FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = sorted(each.name for each in (FOLDER / "overlays").iterdir())
VERSIONS = ("1.31", "1.33", "1.35", "1.37")
FOREIGN = {"ServiceMonitor", "InferenceService"}  # of operators, whose schemas no package has

Manifest = dict[str, Any]

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


@cache
def written(overlay: str) -> str:
    """Return the manifests of an overlay, as kustomize writes them."""
    command = ["kubectl", "kustomize", str(FOLDER / "overlays" / overlay)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def documents(text: str) -> list[Manifest]:
    return [each for each in YAML(typ="safe").load_all(text) if each]


def built(overlay: str) -> list[Manifest]:
    if shutil.which("kubectl") is None:
        pytest.skip("needs kubectl")
    return documents(written(overlay))


def the(kind: str, manifests: list[Manifest]) -> Manifest:
    [found] = [each for each in manifests if each["kind"] == kind]
    return found


def named(kind: str, name: str, manifests: list[Manifest]) -> Manifest:
    return the(kind, [each for each in manifests if each["metadata"]["name"] == name])


def read(path: str) -> Manifest:
    [manifest] = documents((FOLDER / path).read_text(encoding="utf-8"))
    return manifest


SERVING = {
    "base/deployment.yaml": read("base/deployment.yaml")["spec"]["template"]["spec"],
    "kserve/inference-service.yaml": read("kserve/inference-service.yaml")["spec"]["predictor"],
}
MONITORING = "components/monitoring/cron-job.yaml"
JOB = read(MONITORING)["spec"]["jobTemplate"]["spec"]
PODS = {**SERVING, MONITORING: JOB["template"]["spec"]}
each_pod = pytest.mark.parametrize("pod", PODS.values(), ids=PODS)


@each_overlay
@pytest.mark.parametrize("version", VERSIONS)
def test_a_manifest_is_one_of_this_version_of_kubernetes(overlay: str, version: str) -> None:
    manifests = [each for each in built(overlay) if each["kind"] not in FOREIGN]
    assert len(manifests) > 5
    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_a_misspelt_key_is_noticed() -> None:
    manifest = the("Deployment", built(OVERLAYS[0]))
    manifest["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)


@each_overlay
def test_what_selects_pods_selects_those_of_the_deployment(overlay: str) -> None:
    manifests = built(overlay)
    labels = the("Deployment", manifests)["spec"]["template"]["metadata"]["labels"]
    selectors = [
        the("Deployment", manifests)["spec"]["selector"]["matchLabels"],
        the("Service", manifests)["spec"]["selector"],
        the("PodDisruptionBudget", manifests)["spec"]["selector"]["matchLabels"],
        named("NetworkPolicy", "treeline", manifests)["spec"]["podSelector"]["matchLabels"],
    ]
    assert labels
    assert all(selector and selector.items() <= labels.items() for selector in selectors)


@each_overlay
def test_a_namespace_admits_only_what_keeps_the_strictest_rules(overlay: str) -> None:
    labels = the("Namespace", built(overlay))["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@each_pod
def test_a_pod_runs_as_nobody_and_asks_the_cluster_nothing(pod: Manifest) -> None:
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == user_of_the_image()
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


@each_pod
def test_a_container_may_write_nowhere_but_where_it_must(pod: Manifest) -> None:
    [container] = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    writable = {m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")}
    assert writable - {"/tmp"} in ({"/var/lib/treeline"}, {"/app/build"})
    assert all(volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"] if "emptyDir" in volume)


@each_pod
def test_a_container_has_limits(pod: Manifest) -> None:
    [container] = pod["containers"]
    for bound in ("requests", "limits"):
        assert {"cpu", "memory"} <= set(container["resources"][bound])


@pytest.mark.parametrize("pod", SERVING.values(), ids=SERVING)
def test_a_container_that_serves_is_asked_how_it_is(pod: Manifest) -> None:
    [container] = pod["containers"]
    paths = {
        name: container[f"{name}Probe"]["httpGet"]["path"]
        for name in ("startup", "readiness", "liveness")
    }
    assert paths == {"startup": "/healthz", "readiness": "/readyz", "liveness": "/healthz"}


def test_a_new_replica_is_ready_before_a_former_one_goes() -> None:
    spec = read("base/deployment.yaml")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    pod = spec["template"]["spec"]
    [_, seconds] = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert pod["terminationGracePeriodSeconds"] >= int(seconds) + 40  # what compose gives it


def test_the_nightly_look_runs_a_command_of_ours_once_and_alarms_by_failing() -> None:
    [container] = JOB["template"]["spec"]["containers"]
    assert container["command"] == ["treeline", "monitor"]
    with monitor.make_context("monitor", []) as context:
        help_text = monitor.get_help(context)
    assert all(each["name"] in help_text for each in container["env"])
    assert (JOB["backoffLimit"], JOB["template"]["spec"]["restartPolicy"]) == (0, "Never")


def test_the_nightly_look_may_ask_the_service_that_lets_it_in() -> None:
    text = (FOLDER / "components" / "monitoring" / "network-policy.yaml").read_text("utf-8")
    out, let_in = (each["spec"] for each in documents(text))
    labels = read(MONITORING)["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    assert out["podSelector"]["matchLabels"].items() <= labels.items()
    assert let_in["ingress"][0]["from"][0]["podSelector"] == out["podSelector"]
    assert out["egress"][-1]["to"][0]["podSelector"] == let_in["podSelector"]
    service = the("Service", built("team"))["spec"]["selector"]
    assert let_in["podSelector"]["matchLabels"].items() <= service.items()


def test_each_setting_is_one_of_the_service() -> None:
    lines = (FOLDER / "base" / "settings.env").read_text(encoding="utf-8").splitlines()
    names = [line.split("=")[0] for line in lines if line and not line.startswith("#")]
    own = [name for name in names if name not in {"WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS"}]
    assert own
    assert {name.removeprefix("API_").lower() for name in own} <= set(Settings.model_fields)


def test_the_world_may_ask_for_what_the_balancer_lets_through() -> None:
    text = (ROOT / "deploy" / "haproxy" / "haproxy.cfg").read_text(encoding="utf-8")
    balanced = set(re.findall(r"(/\S*)", one(r"acl whole .* -m str (.*)", text)))
    below = set(re.findall(r"(/\S*)", one(r"acl below .* -m beg (.*)", text)))
    rules = read("base/ingress.yaml")["spec"]["rules"]
    paths = {each["path"]: each["pathType"] for each in rules[0]["http"]["paths"]}
    assert set(paths) == balanced
    assert {f"{path}/" for path, kind in paths.items() if kind == "Prefix"} == below


@each_overlay
def test_no_secret_stands_in_a_manifest(overlay: str) -> None:
    manifests = built(overlay)
    assert [each["kind"] for each in manifests if each["kind"] == "Secret"] == []
    settings = the("ConfigMap", manifests)["data"]
    assert [name for name in settings if re.search("URL|PASSWORD|TOKEN|KEYS$", name)] == []


def one(pattern: str, text: str) -> str:
    [found] = re.findall(pattern, text)
    return str(found)


def user_of_the_image() -> int:
    return int(one(r"\nUSER (\d+):", (ROOT / "Dockerfile").read_text(encoding="utf-8")))
