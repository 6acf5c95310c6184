"""A task → the Job that Kubernetes is to run, and the state of its pod → what the task is at.

The pod has three containers, and nothing of a disk that others see. `input` comes first and takes
what is sent from the runner; `job` runs the task, and reads that; `output` runs a command of the
image that waits, and out of it the runner reads the model, once `job` has ended. They share two
empty folders and no process: whatever `job` does, it reaches neither of the other two.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from treeline.jobs import handing
from treeline.jobs.exits import Reason
from treeline.runner.engines import INPUTS, LABEL, RESULT, WHEELS, Status, Task
from treeline.runner.settings import RunnerSettings

NETWORK_LABEL = "treeline.job.network"  # what policies of the network select pods by
NO_NETWORK = "none"
INPUT, JOB, OUTPUT = "input", "job", "output"
TAKEN, MADE = str(handing.TAKEN), str(handing.MADE)  # as `input` and `output` see the two folders
FIRST_USER = 1 << 20  # users of jobs are above those of any image
SLACK_BYTES = 16 << 20
HELPER = {
    "requests": {"cpu": "50m", "memory": "128Mi", "ephemeral-storage": "16Mi"},
    "limits": {"cpu": "500m", "memory": "128Mi", "ephemeral-storage": "16Mi"},
}
SEALED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
# What no waiting mends; all else that keeps a container from starting is tried again by the node.
HOPELESS = frozenset({"InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"})

Document = dict[str, Any]


def job_of(task: Task, settings: RunnerSettings) -> Document:
    """Return the Job of a task; `inputs` and `result` of it are not in there."""
    limits, cluster = settings.limits, settings.kubernetes
    patience = cluster.start_seconds + limits.seconds + round(limits.grace_seconds)
    labels = {
        "app.kubernetes.io/name": "treeline-job",
        "app.kubernetes.io/part-of": "treeline",
        f"{LABEL}.{settings.prefix}": task.id,
        NETWORK_LABEL: settings.network if task.network else NO_NETWORK,
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": _user(task.id),
        "initContainers": [_input(settings)],
        "containers": [_job(task, settings), _output(settings, patience + cluster.keep_seconds)],
        "volumes": _volumes(task, settings),
    }
    if cluster.runtime_class:
        pod["runtimeClassName"] = cluster.runtime_class
    if cluster.node_selector:
        pod["nodeSelector"] = cluster.node_selector
    if cluster.pull_secret:
        pod["imagePullSecrets"] = [{"name": cluster.pull_secret}]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name_of(task.id, settings), "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": patience + cluster.keep_seconds,
            "ttlSecondsAfterFinished": cluster.keep_seconds,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def name_of(id: str, settings: RunnerSettings) -> str:
    """Return the name of the Job of an id."""
    return f"{settings.prefix}-{id}"


def _user(id: str) -> Document:
    """Return who a job runs as: a user of its own, as processes are counted by users."""
    user = FIRST_USER + int(id[-7:], 16)
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _input(settings: RunnerSettings) -> Document:
    return {
        "name": INPUT,
        "image": settings.image,
        "command": ["python", "-m", "treeline.jobs.handing", "wait"],
        "securityContext": SEALED,
        "resources": HELPER,
        "volumeMounts": [
            {"name": "inputs", "mountPath": TAKEN},
            {"name": "made", "mountPath": MADE},
        ],
    }


def _job(task: Task, settings: RunnerSettings) -> Document:
    limits = settings.limits
    environment: dict[str, int | str] = {
        "TREELINE_SECONDS": limits.seconds,
        "TREELINE_MODEL_BYTES": limits.model_bytes,
        "TREELINE_FILE_BYTES": limits.disk_bytes,
        "TREELINE_PROCESSES": limits.processes,
        "LOGNAME": "treeline",  # a user that no file names, which DVC asks for
    }
    if settings.kubernetes.must_not_reach and not task.network:
        environment["TREELINE_MUST_NOT_REACH"] = settings.kubernetes.must_not_reach
    mounts: list[Document] = [
        {"name": "inputs", "mountPath": INPUTS, "subPath": "input", "readOnly": True},
        {"name": "made", "mountPath": RESULT, "subPath": "result"},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    if settings.kubernetes.wheelhouse_claim:
        mounts.append({"name": "wheels", "mountPath": WHEELS, "readOnly": True})
    bounds = {
        "cpu": f"{round(limits.cpus * 1000)}m",
        "memory": str(limits.memory_bytes),
        "ephemeral-storage": str(2 * limits.log_bytes + SLACK_BYTES),  # its log is on the node
    }
    return {
        "name": JOB,
        "image": settings.image,
        "command": ["python", "-m", "treeline.jobs.inside", task.kind, task.model],
        "env": [{"name": name, "value": str(value)} for name, value in environment.items()],
        "securityContext": SEALED,
        "resources": {"requests": bounds, "limits": bounds},
        "volumeMounts": mounts,
    }


def _output(settings: RunnerSettings, seconds: int) -> Document:
    return {
        "name": OUTPUT,
        "image": settings.image,
        "command": ["sleep", str(seconds)],
        "securityContext": SEALED,
        "resources": HELPER,
        "volumeMounts": [{"name": "made", "mountPath": MADE, "readOnly": True}],
    }


def _volumes(task: Task, settings: RunnerSettings) -> list[Document]:
    limits = settings.limits
    sent = sum(each.stat().st_size for each in task.inputs.iterdir())
    in_memory = {
        "tmp": limits.disk_bytes,
        "made": max(limits.model_bytes, limits.disk_bytes),
    }
    volumes: list[Document] = [
        {"name": "inputs", "emptyDir": {"sizeLimit": str(2 * sent + SLACK_BYTES)}},
        *(
            {"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": str(size)}}
            for name, size in in_memory.items()
        ),
    ]
    if claim := settings.kubernetes.wheelhouse_claim:
        volume = {"claimName": claim, "readOnly": True}
        volumes.append({"name": "wheels", "persistentVolumeClaim": volume})
    return volumes


# --- what a pod is at ----------------------------------------------------------------------------


def state(pod: Document, container: str) -> Document:
    """Return the state of a container: `waiting`, `running` or `terminated`, and details of it."""
    status = pod.get("status", {})
    for kind in ("initContainerStatuses", "containerStatuses"):
        for each in status.get(kind) or ():
            if each["name"] == container:
                return dict(each.get("state") or {})
    return {}


def ended(pod: Document | None, job: Document) -> Status | None:
    """Return how a task has ended, as its pod or its Job say; None while it has not."""
    status = {} if pod is None else pod.get("status", {})
    if status.get("phase") == "Failed" and (reason := status.get("reason")):
        return _by_the_node(str(reason), str(status.get("message", "")), status)
    if pod is not None and (task := state(pod, JOB).get("terminated")):
        lacking = task.get("reason") == "OOMKilled"
        return Status(running=False, exit_code=int(task["exitCode"]), out_of_memory=lacking)
    if pod is not None and (taking := state(pod, INPUT).get("terminated")) and taking["exitCode"]:
        return failed("runner", f"its inputs were not taken (code {taking['exitCode']})")
    for condition in job.get("status", {}).get("conditions") or ():
        if condition["type"] == "Failed" and condition["status"] == "True":
            reason, message = str(condition.get("reason", "")), str(condition.get("message", ""))
            return _by_the_node(reason, message, status)
    return None


def not_begun(pod: Document | None, job: Document, *, patience: float) -> Status | None:
    """Return that a task will not begin, or has not within so many seconds; None where it may."""
    reason = ""
    for container in (INPUT, JOB, OUTPUT):
        waiting = {} if pod is None else state(pod, container).get("waiting") or {}
        if waiting.get("reason") in HOPELESS:
            return failed("runner", f"{waiting['reason']}: {waiting.get('message', '')}")
        reason = reason or ": ".join(filter(None, (waiting.get("reason"), waiting.get("message"))))
    if pod is not None and state(pod, JOB).get("running"):
        return None
    made = datetime.fromisoformat(job["metadata"]["creationTimestamp"])
    if (datetime.now(UTC) - made).total_seconds() <= patience:
        return None
    conditions = [] if pod is None else pod.get("status", {}).get("conditions") or []
    said = [each["message"] for each in conditions if each.get("message")]
    reason = reason or next(iter(said), "it has no pod yet")
    return failed("runner", f"it has not begun within {patience:g} seconds: {reason}")


def failed(reason: Reason, text: str) -> Status:
    """Return that a task has ended without an exit code of its own."""
    return Status(running=False, exit_code=-1, reason=reason, detail=text)


def _by_the_node(reason: str, message: str, status: Mapping[str, Any]) -> Status:
    """Return why a pod was ended that had not ended by itself."""
    if reason == "DeadlineExceeded":
        return failed("time", f"Kubernetes ended it: {message}")
    disrupted = any(
        each["type"] == "DisruptionTarget" and each["status"] == "True"
        for each in status.get("conditions") or ()
    )
    if reason == "Evicted" and not disrupted:  # by its own limits, not for want of room on a node
        return failed("disk", f"it wrote more than it may: {message}")
    return failed("runner", f"its pod was ended: {reason}: {message}")
