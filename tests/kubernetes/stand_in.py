"""A stand-in for a cluster: its API by HTTPS, and pods that really run, as containers of Docker.

It is strict where a real one is: what is made must be valid for all versions that the manifests are
held to, keep the rules of `restricted` pods and have the limits that the quota counts, and each
request needs a verb of the Role in `deploy/kubernetes/jobs`. Who is not selected by a policy that
allows a network has none. It has no scheduler, no nodes and no garbage collector.
"""

import re
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import uuid4

import kubernetes_validate
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from ruamel.yaml import YAML

from tests.kubernetes.api_server import Handler
from tests.kubernetes.pods import Pod
from tests.serving import ROOT

FOLDER = ROOT / "deploy" / "kubernetes" / "jobs"
VERSIONS = ("1.31", "1.33", "1.35", "1.37")
NAMESPACE = "treeline-jobs"
VERBS = {"GET": "get", "POST": "create", "DELETE": "delete"}
Document = dict[str, Any]


class DeniedError(Exception):
    """What the API answers instead: a status and a message."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def documents(name: str) -> list[Document]:
    """Return the manifests in a file of the jobs' namespace."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    return [each for each in YAML(typ="safe").load_all(text) if each]


class StandIn:
    """A namespace of Jobs and their pods; `images` are the local names of those in pods."""

    def __init__(self, folder: Path, images: Mapping[str, str], claims: Mapping[str, Path]) -> None:
        self.folder, self.images, self.claims = folder, images, claims
        self.jobs: dict[str, Document] = {}
        self.pods: dict[str, Pod] = {}
        self.lock = threading.RLock()
        self.asked: list[tuple[str, str]] = []
        self.readers: list[subprocess.Popen[bytes]] = []  # of logs
        self.faults = 0  # so many requests are answered as those of a server that is too busy
        self.token_file, self.ca_file = folder / "token", folder / "ca.crt"
        self._role = next(each for each in documents("role.yaml") if each["kind"] == "Role")
        self._policies = documents("network-policy.yaml")
        [self._quota] = documents("quota.yaml")
        self.rotate()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate(self.ca_file, folder / "key.pem"), folder / "key.pem")
        handler = type("Bound", (Handler,), {"cluster": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server.server_address[1]}"

    def rotate(self) -> None:
        """Give the runner another token, and take the former no more."""
        self.token = uuid4().hex
        self.token_file.write_text(f"{self.token}\n")

    # --- what the API is asked ----------------------------------------------------------------

    def authorize(self, method: str, path: str, header: str) -> tuple[str, list[str]]:
        """Return the kind of what is asked for and names; raises DeniedError."""
        if header != f"Bearer {self.token}":
            raise DeniedError(401, "Unauthorized")
        if self.faults:
            self.faults -= 1
            raise DeniedError(503, "the server is currently unable to handle the request")
        if path == "/version":
            return "version", []
        matched = re.fullmatch(
            r"/(apis/batch/v1|api/v1)/namespaces/([^/]+)/(jobs|pods)(?:/([^/]+)(?:/(log|exec))?)?",
            path,
        )
        if matched is None or (matched[1] == "api/v1") != (matched[3] == "pods"):
            raise DeniedError(404, "the server could not find the requested resource")
        group, resource = ("batch", "jobs") if matched[3] == "jobs" else ("", "pods")
        resource += f"/{matched[5]}" if matched[5] else ""
        verb = "list" if method == "GET" and not matched[4] else VERBS[method]
        verbs = {verb, "create"} if matched[5] == "exec" else {verb}  # as 1.35 wants it
        if matched[2] != NAMESPACE or not all(self._may(group, resource, each) for each in verbs):
            text = f'jobs is forbidden: User "runner" cannot {verb} resource "{resource}"'
            raise DeniedError(403, text)
        self.asked.append((verb, resource))
        return resource, [name for name in (matched[4],) if name]

    def _may(self, group: str, resource: str, verb: str) -> bool:
        return any(
            group in rule["apiGroups"] and resource in rule["resources"] and verb in rule["verbs"]
            for rule in self._role["rules"]
        )

    def create(self, job: Document) -> Document:
        """Make a Job and its pod."""
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(job, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                raise DeniedError(422, f"{version}: {error.message}") from error
        template = job["spec"]["template"]
        if faults := [*not_restricted(template["spec"]), *uncounted(template["spec"], self._quota)]:
            raise DeniedError(403, f"pods is forbidden: {'; '.join(faults)}")
        name = job["metadata"]["name"]
        with self.lock:
            if name in self.jobs:
                raise DeniedError(409, f'jobs.batch "{name}" already exists')
            stamped = {**job["metadata"], "creationTimestamp": now(), "namespace": NAMESPACE}
            self.jobs[name] = {**job, "metadata": stamped, "status": {}}
            pod = Pod(name, template, self)
            self.pods[pod.name] = pod
            pod.start()
            return self.jobs[name]

    def find(self, name: str) -> Document:
        """Return a Job as it is by now."""
        with self.lock:
            if name not in self.jobs:
                raise DeniedError(404, f'jobs.batch "{name}" not found')
            self._look_at(name)
            return self.jobs[name]

    def listed(self, resource: str, selector: str) -> Document:
        """Return the objects whose labels are selected."""
        key, _, value = selector.partition("=")
        with self.lock:
            jobs, pods = list(self.jobs.values()), list(self.pods.values())

        def is_selected(labels: Mapping[str, str]) -> bool:
            return key in labels and value in ("", labels[key])

        selected = (
            [each for each in jobs if is_selected(each["metadata"]["labels"])]
            if resource == "jobs"
            else [each.document() for each in pods if is_selected(each.labels)]
        )
        return {"kind": "List", "items": selected}

    def delete(self, name: str, options: Document) -> Document:
        """Remove a Job, and its pods where that is asked for."""
        with self.lock:
            if name not in self.jobs:
                raise DeniedError(404, f'jobs.batch "{name}" not found')
            del self.jobs[name]
            if options.get("propagationPolicy") in ("Background", "Foreground"):
                self._drop_pods(name)
        return {"kind": "Status", "status": "Success"}

    # --- what happens to pods -----------------------------------------------------------------

    def evict(self, job: str, *, disrupted: bool) -> None:
        """End the pods of a Job as a node does: for what they wrote, or for want of room."""
        for pod in self._pods_of(job):
            pod.evict(disrupted=disrupted)

    def cut_logs(self) -> None:
        """Cut off all logs that are followed."""
        for reading in self.readers:
            reading.kill()
        self.readers.clear()

    def drop(self, job: str) -> None:
        """Remove the pods of a Job, as when their node is lost."""
        with self.lock:
            self._drop_pods(job)
            self._fail(job, "BackoffLimitExceeded", "Job has reached the specified backoff limit")

    def network(self, labels: Mapping[str, str]) -> str:
        """Return the engine's network for a pod with such labels."""
        selecting = [
            each["spec"]
            for each in self._policies
            if (each["spec"]["podSelector"].get("matchLabels") or {}).items() <= labels.items()
            and "Egress" in each["spec"]["policyTypes"]
        ]
        shut = selecting and not any(each.get("egress") for each in selecting)
        return "none" if shut else "bridge"

    def _look_at(self, name: str) -> None:
        job = self.jobs[name]
        made = datetime.fromisoformat(job["metadata"]["creationTimestamp"])
        most = timedelta(seconds=job["spec"]["activeDeadlineSeconds"])
        if not job["status"] and datetime.now(UTC) - made > most:
            self._drop_pods(name)
            self._fail(name, "DeadlineExceeded", "Job was active longer than specified deadline")
        if not job["status"] and any(each.phase == "Failed" for each in self._pods_of(name)):
            self._fail(name, "BackoffLimitExceeded", "Job has reached the specified backoff limit")

    def _fail(self, name: str, reason: str, message: str) -> None:
        condition = {"type": "Failed", "status": "True", "reason": reason, "message": message}
        self.jobs[name]["status"] = {"conditions": [condition]}

    def _pods_of(self, name: str) -> list[Pod]:
        return [each for each in self.pods.values() if each.job == name]

    def _drop_pods(self, name: str) -> None:
        for pod in self._pods_of(name):
            del self.pods[pod.name]
            pod.end()

    def end(self) -> None:
        """Remove all that was made."""
        with self.lock:
            for name in list(self.jobs):
                self._drop_pods(name)
            self.jobs.clear()


@contextmanager
def cluster(
    folder: Path, images: Mapping[str, str], claims: Mapping[str, Path]
) -> Iterator[StandIn]:
    """Run a stand-in."""
    standing = StandIn(folder, images, claims)
    thread = threading.Thread(target=standing.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield standing
    finally:
        standing.server.shutdown()
        standing.server.server_close()
        thread.join()
        standing.end()


def not_restricted(pod: Document) -> Iterator[str]:
    """Yield what the rules of `restricted` pods are broken by."""
    of_all = pod["securityContext"]
    if of_all.get("runAsNonRoot") is not True or not of_all.get("runAsUser"):
        yield "runAsNonRoot != true, or runAsUser=0"
    if of_all.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "seccompProfile"
    for container in (*pod["initContainers"], *pod["containers"]):
        own = container["securityContext"]
        if own.get("allowPrivilegeEscalation") is not False:
            yield "allowPrivilegeEscalation != false"
        if own.get("capabilities") != {"drop": ["ALL"]}:
            yield "unrestricted capabilities"
    for volume in pod["volumes"]:
        if not {"emptyDir", "persistentVolumeClaim"} & set(volume):
            yield "restricted volume types"


def uncounted(pod: Document, quota: Document) -> Iterator[str]:
    """Yield limits that a quota counts and a container does not say."""
    counted = [each.removeprefix("limits.") for each in quota["spec"]["hard"] if "limits." in each]
    for container in (*pod["initContainers"], *pod["containers"]):
        for each in counted:
            if each not in container["resources"]["limits"]:
                yield f"failed quota: must specify limits.{each} for: {container['name']}"


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def certificate(path: Path, key_path: Path) -> Path:
    """Write a certificate of 127.0.0.1 that trusts itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(hours=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path.write_bytes(made.public_bytes(pem))
    form = serialization.PrivateFormat.PKCS8
    key_path.write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    return path
