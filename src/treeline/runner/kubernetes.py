"""A task → a Job of Kubernetes, whose pod is sent its inputs and asked for its model.

Nothing is shared with the pod: no disk of the runner's or of another job's is in it, and the
namespace of the jobs has nothing else to mount. Files go by commands in its containers (`exec`),
before the task runs and after it has ended, never beside it.
"""

import logging
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Self

from treeline.errors import AgentError
from treeline.jobs.handing import DONE
from treeline.runner.cluster import Cluster, Document
from treeline.runner.engines import LABEL, Status, Task
from treeline.runner.pods import (
    INPUT,
    JOB,
    MADE,
    OUTPUT,
    ended,
    failed,
    job_of,
    name_of,
    not_begun,
    state,
)
from treeline.runner.settings import RunnerSettings

AGAIN_SECONDS = 1.0  # before a log is asked for again
SENT_BYTES = 32 << 10

logger = logging.getLogger(__name__)


class KubernetesEngine:
    """Jobs in one namespace of a cluster."""

    def __init__(self, settings: RunnerSettings) -> None:
        self._settings = settings
        self._cluster = Cluster(settings.kubernetes)
        self._label = f"{LABEL}.{settings.prefix}"
        self._tasks: dict[str, Task] = {}  # of which this process knows where files are
        self._sent: dict[str, str] = {}  # pods that have their inputs; `input` ends in a moment
        self._taken: set[str] = set()  # ids whose models are here
        self.start_seconds = float(settings.kubernetes.start_seconds)

    @classmethod
    def from_settings(cls, settings: RunnerSettings) -> Self:
        """Return the engine that `[kubernetes]` describes."""
        return cls(settings)

    def answers(self) -> bool:
        """Tell whether the API server answers."""
        return self._cluster.answers()

    def image_id(self) -> str:
        """Return the name of the image, which is by its digest."""
        return self._settings.image

    def start(self, task: Task) -> None:
        """Make the Job where there is none."""
        self._tasks[task.id] = task
        if self._job(task.id) is None:
            body = job_of(task, self._settings)
            self._cluster.ask("POST", self._cluster.path("jobs"), body=body)

    def status(self, id: str) -> Status | None:
        """Return what a job is at; where it is time, send its inputs before, or take its model."""
        job = self._job(id)
        if job is None:
            return None
        pod = self._pod(id)
        over = ended(pod, job)
        if over is not None:
            return self._with_model(id, pod, over)
        if (late := not_begun(pod, job, patience=self.start_seconds)) is not None:
            return late
        if pod is not None and state(pod, INPUT).get("running"):
            self._send(self._task(id), pod["metadata"]["name"])
        return Status(running=True)

    def log(self, id: str) -> Iterator[bytes]:
        """Yield the log of a job; where the API cuts it off, it goes on there."""
        seen = 0
        while (job := self._job(id)) is not None:
            pod = self._pod(id)
            now = {} if pod is None else state(pod, JOB)
            if pod is not None and ("running" in now or "terminated" in now):
                for piece in self._log_from(pod["metadata"]["name"], seen):
                    seen += len(piece)
                    yield piece
            # What was cut off before the end of a log is asked for once more after it.
            if "running" not in now and ended(pod, job) is not None:
                return
            time.sleep(AGAIN_SECONDS)

    def remove(self, id: str) -> None:
        """Remove the Job, and its pod with it."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        path = self._cluster.path("jobs", name_of(id, self._settings))
        self._cluster.ask("DELETE", path, body=body)
        self._tasks.pop(id, None)
        self._sent.pop(id, None)
        self._taken.discard(id)

    def ids(self) -> set[str]:
        """Return the ids that labels of Jobs name."""
        jobs = self._listed("jobs", self._label)
        return {str(each["metadata"]["labels"][self._label]) for each in jobs}

    def _job(self, id: str) -> Document | None:
        path = self._cluster.path("jobs", name_of(id, self._settings))
        return self._cluster.ask("GET", path)

    def _pod(self, id: str) -> Document | None:
        """Return the pod of a job, the newest where there are several."""
        pods = self._listed("pods", f"{self._label}={id}")
        return max(pods, key=lambda each: str(each["metadata"]["creationTimestamp"]), default=None)

    def _listed(self, kind: str, selector: str) -> list[Document]:
        query = [("labelSelector", selector)]
        listed = self._cluster.ask("GET", self._cluster.path(kind), query=query)
        return [] if listed is None else list(listed["items"])

    def _task(self, id: str) -> Task:
        if id not in self._tasks:
            raise AgentError(f"{id}: this runner has not been told where its files are")
        return self._tasks[id]

    def _log_from(self, pod: str, seen: int) -> Iterator[bytes]:
        """Yield the log of a container without what was seen, until it ends or is cut off."""
        query = [("container", JOB), ("follow", "true")]
        path, read = self._cluster.path("pods", pod, "log"), 0
        try:
            for piece in self._cluster.read(path, query=query):
                fresh = piece[max(0, seen - read) :]
                read += len(piece)
                if fresh:
                    yield fresh
        except AgentError as error:
            logger.info("a log is asked for again: %s", error)

    def _send(self, task: Task, pod: str) -> None:
        """Send the inputs of a task into its pod, once; what another runner sent is left there."""
        if self._sent.get(task.id) == pod:
            return
        with tempfile.TemporaryFile(dir=task.inputs.parent) as packed:
            size = pack(task.inputs, packed)
            command = ("python", "-m", "treeline.jobs.handing", "take", str(size))
            with closing(self._cluster.run(pod, INPUT, *command, given=pieces(packed))) as printed:
                said = b""
                while DONE.encode() not in said and (piece := next(printed, b"")):
                    said += piece  # after that word the container may end before the command has
        self._sent[task.id] = pod

    def _with_model(self, id: str, pod: Document | None, over: Status) -> Status:
        """Have the model of a task that ended well in the file `result`, before that is said."""
        if over.exit_code != 0 or id in self._taken or pod is None:
            return over
        if "running" not in state(pod, OUTPUT):
            return failed("runner", "its pod ended before the model was taken out of it")
        task, most = self._task(id), self._settings.limits.model_bytes
        part, name, size = task.result.with_name("result.part"), pod["metadata"]["name"], 0
        printed = self._cluster.run(name, OUTPUT, "cat", f"{MADE}/result")
        with part.open("wb") as file, closing(printed):
            # Not much more than what is admitted: the runner says what is too much.
            while size <= most and (piece := next(printed, b"")):
                size += file.write(piece)
        part.replace(task.result)
        self._taken.add(id)
        return over


def pack(folder: Path, packed: IO[bytes]) -> int:
    """Write the files of a folder as a tar archive, names and bytes alone; return its size."""
    with tarfile.open(fileobj=packed, mode="w:") as archive:
        for path in sorted(folder.iterdir()):
            member = tarfile.TarInfo(path.name)
            member.size, member.mode = path.stat().st_size, 0o444
            with path.open("rb") as file:
                archive.addfile(member, file)
    size = packed.tell()
    packed.seek(0)
    return size


def pieces(file: IO[bytes]) -> Iterator[bytes]:
    """Yield a file in pieces that an API server takes."""
    while piece := file.read(SENT_BYTES):
        yield piece
