"""What a cluster is told of training jobs: a namespace of theirs, a runner beside the service."""

import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tests.kubernetes.stand_in import VERSIONS, not_restricted, uncounted
from tests.kubernetes.test_manifests import FOLDER, documents, named, read, the, user_of_the_image
from treeline.jobs.documents import new_id
from treeline.runner.engines import Task
from treeline.runner.pods import NETWORK_LABEL, job_of
from treeline.runner.settings import RunnerSettings

Manifest = dict[str, Any]
OVERLAY = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: treeline
resources: [../home]
components: [../../components/jobs]
"""

each_version = pytest.mark.parametrize("version", VERSIONS)


def built(folder: Path) -> list[Manifest]:
    if shutil.which("kubectl") is None:
        pytest.skip("needs kubectl")
    command = ["kubectl", "kustomize", str(folder)]
    return documents(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.fixture
def overlay(tmp_path: Path) -> list[Manifest]:
    """What the service is with the component, in an overlay of one's own."""
    copy = shutil.copytree(FOLDER, tmp_path / "kubernetes")
    own = copy / "overlays" / "own"
    own.mkdir()
    (own / "kustomization.yaml").write_text(OVERLAY)
    return built(own)


@pytest.fixture
def task(tmp_path: Path) -> Task:
    inputs = tmp_path / "input"
    inputs.mkdir()
    (inputs / "script.py").write_text("1")
    return Task(new_id(), "script", "mine", inputs, tmp_path / "result", network=False)


@pytest.fixture
def settings() -> RunnerSettings:
    return RunnerSettings.read(FOLDER / "components" / "jobs" / "runner.toml")


@each_version
def test_the_namespace_of_jobs_is_valid(version: str) -> None:
    manifests = built(FOLDER / "jobs")
    kinds = {"Namespace", "Role", "RoleBinding", "NetworkPolicy", "ResourceQuota", "ServiceAccount"}
    assert {each["kind"] for each in manifests} == kinds
    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)
    labels = the("Namespace", manifests)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@each_version
def test_a_service_with_jobs_is_valid(version: str, overlay: list[Manifest]) -> None:
    for manifest in overlay:
        kubernetes_validate.validate(manifest, version, strict=True)
    elsewhere = [e for e in overlay if e["metadata"].get("namespace", "treeline") != "treeline"]
    assert elsewhere == []


def test_the_job_of_a_task_is_valid_restricted_and_counted(
    task: Task, settings: RunnerSettings
) -> None:
    """The stand-in asks the same of each job; here a field that is left out is told by its name."""
    job = job_of(task, settings)
    for version in VERSIONS:
        kubernetes_validate.validate(job, version, strict=True)
    pod = job["spec"]["template"]["spec"]
    assert list(not_restricted(pod)) == []
    assert list(uncounted(pod, read("jobs/quota.yaml"))) == []
    assert pod["automountServiceAccountToken"] is False
    assert (pod["restartPolicy"], job["spec"]["backoffLimit"]) == ("Never", 0)
    assert all(each["securityContext"]["readOnlyRootFilesystem"] for each in pod["containers"])
    assert {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & pod.keys() == set()


def test_each_job_has_a_user_of_its_own(task: Task, settings: RunnerSettings) -> None:
    """The kernel counts processes by users: a job's fork bomb is none for another."""
    other = Task(new_id(), "script", "mine", task.inputs, task.result, network=False)
    users = {
        job_of(each, settings)["spec"]["template"]["spec"]["securityContext"]["runAsUser"]
        for each in (task, other)
    }
    assert len(users) == 2
    assert min(users) > user_of_the_image()


def test_what_ends_a_job_is_later_than_its_time_and_a_runner_that_is_away(
    task: Task, settings: RunnerSettings
) -> None:
    """Kubernetes ends it where neither its first process nor the runner could."""
    spec = job_of(task, settings)["spec"]
    own = settings.limits.seconds + settings.limits.grace_seconds
    kept = settings.kubernetes.start_seconds + settings.kubernetes.keep_seconds
    assert spec["activeDeadlineSeconds"] >= own + kept
    assert spec["ttlSecondsAfterFinished"] > 0


def test_a_job_has_no_network_but_where_it_asks_and_a_policy_allows_it(
    task: Task, settings: RunnerSettings
) -> None:
    policies = documents((FOLDER / "jobs" / "network-policy.yaml").read_text("utf-8"))
    shut, opened = (each["spec"] for each in policies)
    assert shut == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    allowed = opened["podSelector"]["matchLabels"]
    online = settings.model_copy(update={"network": allowed[NETWORK_LABEL]})
    asking = Task(task.id, task.kind, task.model, task.inputs, task.result, network=True)
    for given, said, labelled in ((task, online, False), (asking, online, True)):
        labels = job_of(given, said)["spec"]["template"]["metadata"]["labels"]
        assert (allowed.items() <= labels.items()) is labelled


def test_a_job_may_be_kept_to_nodes_and_a_runtime(task: Task, settings: RunnerSettings) -> None:
    own = {"runtime_class": "gvisor", "node_selector": {"for": "jobs"}, "pull_secret": "registry"}
    cluster = settings.kubernetes.model_copy(update=own | {"must_not_reach": "10.96.0.10:53"})
    job = job_of(task, settings.model_copy(update={"kubernetes": cluster}))
    kubernetes_validate.validate(job, VERSIONS[-1], strict=True)
    pod = job["spec"]["template"]["spec"]
    assert (pod["runtimeClassName"], pod["nodeSelector"]) == ("gvisor", {"for": "jobs"})
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    environment = {each["name"]: each["value"] for each in pod["containers"][0]["env"]}
    assert environment["TREELINE_MUST_NOT_REACH"] == "10.96.0.10:53"


def test_service_and_runner_share_a_folder_and_the_runner_has_the_token(
    overlay: list[Manifest],
) -> None:
    service, runner = (
        named("Deployment", name, overlay)["spec"]["template"]["spec"]
        for name in ("treeline", "treeline-runner")
    )
    shared = {"name": "jobs", "persistentVolumeClaim": {"claimName": "treeline-jobs"}}
    assert shared in service["volumes"] and shared in runner["volumes"]
    assert service["automountServiceAccountToken"] is False
    assert runner["automountServiceAccountToken"] is True
    assert runner["securityContext"] == service["securityContext"]
    [container] = runner["containers"]
    assert container["securityContext"] == service["containers"][0]["securityContext"]
    [config] = [each for each in overlay if "runner.toml" in (each.get("data") or {})]
    told = tomllib.loads(config["data"]["runner.toml"])
    settings = next(e for e in overlay if "API_JOBS_DIR" in (e.get("data") or {}))["data"]
    assert (settings["API_JOBS"], settings["API_JOBS_DIR"]) == ("true", told["spool"])


def test_the_role_is_given_to_the_runner_where_it_is(overlay: list[Manifest]) -> None:
    role, binding, account = documents((FOLDER / "jobs" / "role.yaml").read_text("utf-8"))
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    [subject] = binding["subjects"]
    found = named("ServiceAccount", subject["name"], overlay)
    assert found["metadata"]["namespace"] == subject["namespace"]
    runner = named("Deployment", "treeline-runner", overlay)["spec"]["template"]["spec"]
    assert runner["serviceAccountName"] == subject["name"]
    assert account["automountServiceAccountToken"] is False
    assert not any("*" in each for rule in role["rules"] for each in rule.values())
