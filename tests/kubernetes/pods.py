"""A pod of the stand-in: its containers, one after the other, as Docker runs them."""

import json
import os
import shutil
import subprocess
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

Document = dict[str, Any]
POD_LABEL = "treeline.stand-in"


def docker(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=False)


class Pod(threading.Thread):
    """Runs the containers of a template; folders in memory are file systems of their size."""

    def __init__(self, job: str, template: Document, cluster: Any) -> None:
        super().__init__(daemon=True)
        self.job, self.cluster = job, cluster
        self.pod_name = f"{job}-{uuid4().hex[:5]}"
        self.labels, self.spec = template["metadata"]["labels"], template["spec"]
        self.made = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.phase, self.reason, self.message = "Pending", "", ""
        self.disrupted = False
        self.folder = cluster.folder / self.pod_name
        self.over = threading.Event()
        self._mounted: list[Path] = []

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.pod_name

    def run(self) -> None:
        images = {each["image"] for each in self._all()}
        if not images <= set(self.cluster.images):
            return  # which waits for its image for ever
        try:
            self._volumes()
            for container in self.spec["initContainers"]:
                self._begin(container)
                if self._wait(container) != 0:
                    self.phase = "Failed"
                    return
            self.phase = "Running"
            for container in self.spec["containers"]:
                self._begin(container)
            codes = [self._wait(container) for container in self.spec["containers"]]
            if not self.over.is_set():
                self.phase = "Failed" if any(codes) else "Succeeded"
        except (RuntimeError, OSError) as error:
            if not self.over.is_set():
                self.phase, self.reason, self.message = "Failed", "StartError", str(error)

    def _all(self) -> list[Document]:
        return [*self.spec["initContainers"], *self.spec["containers"]]

    def container(self, name: str) -> str:
        """Return what a container is called on the engine."""
        return f"{self.pod_name}-{name}"

    def _volumes(self) -> None:
        for volume in self.spec["volumes"]:
            if "emptyDir" not in volume:
                continue
            path = self.folder / volume["name"]
            path.mkdir(parents=True)
            if volume["emptyDir"].get("medium") == "Memory":
                size = volume["emptyDir"]["sizeLimit"]
                command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=1777", "tmpfs"]
                subprocess.run([*command, str(path)], check=True)
                self._mounted.append(path)
            path.chmod(0o1777)

    def _source(self, mount: Document) -> Path:
        [volume] = [each for each in self.spec["volumes"] if each["name"] == mount["name"]]
        if "emptyDir" in volume:
            source: Path = self.folder / volume["name"] / mount.get("subPath", "")
            return source
        folder: Path = self.cluster.claims[volume["persistentVolumeClaim"]["claimName"]]
        return folder

    def _begin(self, container: Document) -> None:
        limits, security = container["resources"]["limits"], container["securityContext"]
        user = self.spec["securityContext"]
        words = [
            *("--name", self.container(container["name"]), "--label", f"{POD_LABEL}={self.job}"),
            *("--network", self.cluster.network(self.labels)),
            *("--user", f"{user['runAsUser']}:{user['runAsGroup']}"),
            *("--memory", of_bytes(limits["memory"]), "--memory-swap", of_bytes(limits["memory"])),
            *("--cpus", str(int(limits["cpu"].removesuffix("m")) / 1000)),
        ]
        words += ["--no-healthcheck"]  # which a node does not ask for
        words += ["--read-only"] if security["readOnlyRootFilesystem"] else []
        for capability in security["capabilities"]["drop"]:
            words += ["--cap-drop", capability]
        if not security["allowPrivilegeEscalation"]:
            words += ["--security-opt", "no-new-privileges"]
        for each in container.get("env", ()):
            words += ["--env", f"{each['name']}={each['value']}"]
        for mount in container["volumeMounts"]:
            source = self._source(mount)
            if not source.exists():  # as a node does for a subPath
                source.mkdir()
            read = ",readonly" if mount.get("readOnly") else ""
            words += ["--mount", f"type=bind,source={source},target={mount['mountPath']}{read}"]
        image = self.cluster.images[container["image"]]
        if (done := docker("run", "--detach", *words, image, *container["command"])).returncode:
            raise RuntimeError(done.stderr)

    def _wait(self, container: Document) -> int:
        """Return how a container has ended, which nobody asks the engine for again and again."""
        name = self.container(container["name"])
        if self.over.is_set():  # it was begun just when all were removed
            docker("rm", "--force", "--volumes", name)
            return -1
        done = docker("wait", name)
        if self.over.is_set():
            return -1
        if done.returncode:
            raise RuntimeError(done.stderr)
        return int(done.stdout)

    def document(self) -> Document:
        """Return the pod as the API shows it."""
        conditions = [{"type": "DisruptionTarget", "status": "True"}] if self.disrupted else []
        status: Document = {"phase": self.phase, "conditions": conditions}
        if self.reason:
            status |= {"reason": self.reason, "message": self.message}
        kinds = {"initContainers": "initContainerStatuses", "containers": "containerStatuses"}
        states = inspected(*(self.container(each["name"]) for each in self._all()))
        for kind, statuses in kinds.items():
            status[statuses] = [
                {"name": each["name"], "state": self._state(each, states)}
                for each in self.spec[kind]
            ]
        metadata = {"name": self.pod_name, "labels": self.labels, "creationTimestamp": self.made}
        return {"kind": "Pod", "metadata": metadata, "spec": self.spec, "status": status}

    def _state(self, container: Document, states: dict[str, Document]) -> Document:
        if container["image"] not in self.cluster.images:
            told = {"reason": "ImagePullBackOff", "message": "Back-off pulling image: not found"}
            return {"waiting": told}
        state = states.get(self.container(container["name"]))
        if state is None or state["Status"] == "created":
            return {"waiting": {"reason": "PodInitializing"}}
        if state["Status"] == "running":
            return {"running": {"startedAt": state["StartedAt"]}}
        reason = "Completed" if state["ExitCode"] == 0 else "Error"
        reason = "OOMKilled" if state["OOMKilled"] else reason
        return {"terminated": {"exitCode": state["ExitCode"], "reason": reason}}

    def evict(self, *, disrupted: bool) -> None:
        """End the pod as a node does, and leave what is known of it."""
        self.disrupted = disrupted
        self.phase, self.reason = "Failed", "Evicted"
        self.message = (
            "The node was low on resource: memory."
            if disrupted
            else 'Usage of EmptyDir volume "inputs" exceeds the limit.'
        )
        self._kill()

    def end(self) -> None:
        """Remove the pod and its folders."""
        self._kill()
        self.join(10)
        for path in self._mounted:
            subprocess.run(["umount", "--lazy", str(path)], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _kill(self) -> None:
        self.over.set()
        names = [self.container(each["name"]) for each in self._all()]
        docker("rm", "--force", "--volumes", *names)


def inspected(*names: str) -> dict[str, Document]:
    """Return the states of the containers that there are, by their names."""
    done = docker("container", "inspect", *names)
    return {each["Name"].removeprefix("/"): each["State"] for each in json.loads(done.stdout)}


def of_bytes(quantity: str) -> str:
    """Return a quantity of memory in bytes."""
    scales = {"Mi": 1 << 20, "Gi": 1 << 30}
    scale = scales.get(quantity[-2:], 1)
    return str(int(quantity.rstrip("MGi")) * scale)


def need_mounts() -> str:
    """Say what this machine lacks for folders in memory; nothing when it lacks nothing."""
    return "" if os.geteuid() == 0 else "only root can mount folders in memory"
